"""Run the command line as `python -m mri_gan`."""

from mri_gan.cli.entry import main

if __name__ == "__main__":
    main()
