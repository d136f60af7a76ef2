"""Names that a command line needs before anything heavy is imported."""

DOWNLOAD_FREE = ("pca", "random-cnn", "texture")
EFFICIENTNET = "efficientnet-lite0"
FEATURE_NAMES = (*DOWNLOAD_FREE, EFFICIENTNET)
