"""Images in shards of the WebDataset format: plain tar files whose members belong together by name."""

from datamodules.webdataset.imagenet_shards import ImageNetShards
from datamodules.webdataset.pack import pack

__all__ = ["ImageNetShards", "pack"]
