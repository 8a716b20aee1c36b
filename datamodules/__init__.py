"""The data that networks are trained and explained on, as Lightning datamodules.

Each yields :class:`advscope.batch.Batch`: images in [0, 1], labels, and the place of each image in its data set.
"""

from datamodules.augmentation import Augmentation, CropFlip
from datamodules.base import BatchLoader, ImageDataModule, SplitName
from datamodules.broden import Broden
from datamodules.cifar10 import CIFAR10
from datamodules.concept_shapes import ConceptShapes
from datamodules.imagenet import ImageNet
from datamodules.in_memory import InMemoryDataModule, Split
from datamodules.stored_image_data import StoredImageData
from datamodules.webdataset import ImageNetShards

__all__ = [
    "CIFAR10",
    "Augmentation",
    "BatchLoader",
    "Broden",
    "ConceptShapes",
    "CropFlip",
    "ImageDataModule",
    "ImageNet",
    "ImageNetShards",
    "InMemoryDataModule",
    "Split",
    "SplitName",
    "StoredImageData",
]
