"""What datamodules of stored images share, wherever these lie: preprocessing, subsets, splits, broken files."""

import hashlib
from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, Literal

from torch import Tensor

from datamodules.base import ImageDataModule, SplitName, hold_out
from datamodules.class_folders import Classes
from datamodules.class_range import check_labels, count_outputs
from datamodules.decoding_loader import DecodingLoader
from datamodules.image_file_decoder import ImageFileDecoder
from datamodules.preprocessing import Preprocessing, choose
from datamodules.stored_images import StoredImages
from datamodules.subset import choose_classes, in_subset


class StoredImageData(ImageDataModule):
    """Classified images that are stored encoded, and decoded in each epoch.

    Training images are cropped at random (Inception's crop) and mirrored every other time, as a function of (seed,
    epoch, index); the others are scaled and cropped at the centre, as torchvision does it on PIL images. A subclass
    says where the images are; an image's index is its place among all of them, whatever the subset.

    Args:
        batch_size: Training images per batch and process.
        eval_batch_size: Images per batch and process in validation and test.
        seed: Seed of shuffling and augmentation.
        size: Side of the images that the network sees, in pixels. Null is the network's own (its ``preprocessing``),
            and 224 where it states none or there is no trainer.
        resize: Short side to which evaluation scales an image before it takes the centre. Null is the network's own
            where its size is taken, else 8/7 of ``size`` (256 for 224, 342 for 299).
        interpolation: How images are scaled, always with antialiasing. Null is the network's own where its size is
            taken, else bilinear.
        min_crop_area: Smallest share of a training image's area that a random crop covers.
        validation_images: How many training images are held out; null is a tenth. They are the last of a permutation
            that is the same for every seed.
        classes: File that numbers the classes: one folder name a line, in order, with a name to show after it if
            wanted; or ``imagenet_class_index.json``. Null: see the subclass.
        subset_classes: Take the images of some classes alone: so many, drawn by ``subset_seed``, or these, by folder
            (synset) or name. They keep their numbers. Null takes all.
        images_per_class: Take at most so many images of each class, drawn by ``subset_seed``; of the training images
            before validation images are held out of them. Null takes all.
        subset_seed: Seed of the subset, apart from ``seed``, so that trainings with several seeds see the same images.
        broken: What an image that cannot be decoded does: ``stop`` ends the run in one line that names it; ``skip``
            notes it in ``broken`` of the datamodule, leaves it out of evaluation, whose batch becomes smaller, and in
            training takes the training image of the next index in its place.
        num_workers: Processes that decode, per loader; 0 decodes in the process that trains.
        start_method: How they start: ``fork``, ``spawn`` or ``forkserver``; null is Python's default.

    Raises:
        ValueError: If a setting is out of range; at ``setup``, if a subset is empty, or a class is none that the
            network knows.
        FileNotFoundError: When a split is asked for, and its images are missing.
    """

    def __init__(
        self,
        batch_size: int = 128,
        eval_batch_size: int = 256,
        seed: int = 0,
        size: int | None = None,
        resize: int | None = None,
        interpolation: Literal["bilinear", "bicubic"] | None = None,
        min_crop_area: float = 0.08,
        validation_images: int | None = None,
        classes: str | None = None,
        subset_classes: int | list[str] | None = None,
        images_per_class: int | None = None,
        subset_seed: int = 0,
        broken: Literal["stop", "skip"] = "stop",
        num_workers: int = 0,
        start_method: Literal["fork", "spawn", "forkserver"] | None = None,
    ) -> None:
        super().__init__(batch_size, eval_batch_size, seed)
        choose(size, resize, interpolation, min_crop_area)
        for name, count in (("subset_classes", subset_classes), ("images_per_class", images_per_class)):
            if isinstance(count, int) and count < 1:
                raise ValueError(f"{name} must be at least 1, or null for all, got {count}")
        if broken not in ("stop", "skip"):
            raise ValueError(f"broken must be stop or skip, got {broken}")
        if num_workers < 0:
            raise ValueError(f"num_workers must not be negative, got {num_workers}")
        self._asked = (size, resize, interpolation, min_crop_area)
        self.validation_images = validation_images
        self.classes_file = classes
        self.subset_classes: int | Sequence[str] | None = subset_classes
        self.images_per_class = images_per_class
        self.subset_seed = subset_seed
        self.skip_broken = broken == "skip"
        self.num_workers = num_workers
        self.start_method = start_method
        self._places: dict[SplitName, Tensor] = {}

    @property
    @abstractmethod
    def classes(self) -> Classes:
        """The classes, by number."""

    @abstractmethod
    def files(self, name: SplitName) -> StoredImages:
        """Return the images among which a split's are, all of them, found at the first call."""

    @abstractmethod
    def where(self, name: SplitName) -> str:
        """Return what a message calls the place of a split's images."""

    @abstractmethod
    def test_order(self, count: int) -> Tensor:
        """Return the order in which so many images are tested, int64 ``(count,)``; no setting changes it."""

    @property
    def class_names(self) -> tuple[str, ...]:  # type: ignore[override]
        """Names of the classes, by number."""
        return self.classes.names

    @property
    def preprocessing(self) -> Preprocessing:
        """How a file becomes pixels: the settings, and for those that are null the attached trainer's network's own."""
        return choose(*self._asked, network=self._network)

    @property
    def image_size(self) -> tuple[int, int]:
        """Height and width of the images that a network is given, in pixels."""
        size = self.preprocessing.size
        return size, size

    def setup(self, stage: str) -> None:
        """Find the images that a stage needs, so that what is wrong with them is said before the first step."""
        self.broken.clear()
        super().setup(stage)
        outputs = None if self._network is None else count_outputs(self._network, self.image_size)
        if outputs is not None:
            for name, places in self._places.items():
                check_labels(self.classes_of(name), places, outputs)

    def split_indices(self, name: SplitName) -> Tensor:
        """Return the places among all files of a split's images, in the split's order, int64 ``(N,)``."""
        if name not in self._places:
            labels = self.files(name).labels
            chosen = choose_classes(self.subset_classes, self.classes, self.subset_seed)
            inside = in_subset(labels, chosen, self.images_per_class, self.subset_seed, self.where(name))
            if name == "test":
                order = self.test_order(len(labels))
                self._places[name] = order[inside[order]]
            else:
                candidates = inside.nonzero().flatten()
                self._places[name] = candidates[hold_out(len(candidates), self.validation_images)[name == "val"]]
        return self._places[name]

    def classes_of(self, name: SplitName) -> Tensor:
        """Return the class of each image of a split, in the split's order, int64 ``(N,)``."""
        return self.files(name).labels[self.split_indices(name)]

    def checksum(self, name: SplitName) -> str:
        """Return the sha256 over the keys, sizes in bytes and labels of a split's files in its order, in hexadecimal.

        A key is the file's path inside its folder, or its name in the shards. The pixels do not enter the sum: reading
        all of ImageNet would take an hour.
        """
        files, digest = self.files(name), hashlib.sha256()
        for place, label in zip(self.split_indices(name).tolist(), self.classes_of(name).tolist(), strict=True):
            digest.update(files.key(place) + f"\0{files.size(place)}\0{label}\n".encode())
        return digest.hexdigest()

    def loader(self, name: SplitName, *, training: bool) -> DecodingLoader:
        """Return a loader of a split: shuffled and augmented for training, else in the fixed order."""
        indices = self.split_indices(name)
        pool = indices.sort().values if training and self.skip_broken else None
        decoder = ImageFileDecoder(
            self.files(name), self.preprocessing, self.seed, training, skip=self.skip_broken, pool=pool
        )
        return DecodingLoader(
            self, indices, decoder, training=training, num_workers=self.num_workers, start_method=self.start_method
        )

    @property
    def _network(self) -> Any:
        return getattr(getattr(self.trainer, "lightning_module", None), "network", None)
