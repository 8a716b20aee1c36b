"""Labels as users state them: a table of numbers, names and categories, and one of what whole images show."""

from pathlib import Path
from typing import NamedTuple

from datamodules.broden.table import is_number, read_table

MOST = 2**15 - 1
"""The largest number of a label: batches hold int16."""


class SourceLabels(NamedTuple):
    """The labels of each category."""

    names: dict[str, dict[int, str]]
    """Name by category and number."""
    stated_in: str
    """What messages call the table; empty where there is none, and every number that masks hold is a label."""

    def add(self, category: str, number: int) -> str | None:
        """Note that a category has a label; return why it cannot, in a few words, or None.

        Without a table a label is named after its number, and has one category: that two are the same is not known.
        """
        if number in self.names.get(category, {}):
            return None
        if self.stated_in:
            return f"the label {number}, which {self.stated_in} does not list in {category}"
        if number > MOST:
            return f"the label {number}, and numbers must be at most {MOST:,}"
        for other, members in self.names.items():
            if number in members:
                return f"the label {number}, as {other} has (a table must tell whether they are one label)"
        self.names.setdefault(category, {})[number] = f"label {number}"
        return None


def read_source_labels(path: Path | None) -> SourceLabels:
    """Return the labels that a table with the columns number, name and category lists; all, without one.

    A label may be in several categories, by a row for each; 0 is unlabelled, and passed over where it is listed.

    Raises:
        FileNotFoundError: If the table is missing.
        ValueError: If it is no such table, a number is none or too large, or a number or a name has two meanings.
    """
    if path is None:
        return SourceLabels({}, "")
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing: name a table with the columns number, name, category, or none")
    names: dict[int, str] = {}
    categories: dict[str, dict[int, str]] = {}
    for row in read_table(path, ("number", "name", "category")):
        number, name, category = row.number("number"), row.cells["name"].strip(), row.cells["category"].strip()
        if not number:
            continue
        if number > MOST:
            raise ValueError(f"{row.where}: number must be at most {MOST:,}, got {number}: number the labels densely")
        if not name or not category:
            raise ValueError(f"{row.where}: name and category must not be empty, got {name!r} and {category!r}")
        if names.setdefault(number, name) != name:
            raise ValueError(f"{row.where}: number {number} is {names[number]!r} already: give each label one name")
        members = categories.setdefault(category, {})
        if number in members:
            raise ValueError(f"{row.where}: number {number} is in {category} already: list it once per category")
        if name in members.values():
            raise ValueError(f"{row.where}: {category} has a label {name!r} already: give each label another name")
        members[number] = name
    if not names:
        raise ValueError(f"{path} lists no labels: give it a row per label")
    return SourceLabels(categories, path.name)


def read_image_labels(path: Path, stems: dict[str, str], labels: SourceLabels) -> dict[str, dict[str, list[int]]]:
    """Return the labels that hold for whole images, by the image's stem and the category, in the table's order.

    Args:
        path: A table with the columns image, category, label: a path below the folder of images, with or without its
            ending; a category; and a number or a name that the category has.
        stems: Stem of each image by its path below the folder.
        labels: The known labels; without a table of them numbers are added, and names are numbered from the first one
            that is free.

    Raises:
        FileNotFoundError: If the table is missing.
        ValueError: If it is no such table, or names an image or a label that is not there; names file and row.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing: name a table with the columns image, category, label, or none")
    found: dict[str, dict[str, list[int]]] = {}
    for row in read_table(path, ("image", "category", "label")):
        image, category, label = (row.cells[column].strip() for column in ("image", "category", "label"))
        stem = stems.get(image, image)
        if stem not in stems.values():
            raise ValueError(f"{row.where}: there is no image {image!r}: give its path below the folder of images")
        if not category or not label:
            raise ValueError(f"{row.where}: category and label must not be empty, got {category!r} and {label!r}")
        number = _number(row.where, category, label, labels)
        numbers = found.setdefault(stem, {}).setdefault(category, [])
        if number and number not in numbers:
            numbers.append(number)
    return found


def _number(where: str, category: str, label: str, labels: SourceLabels) -> int:
    """Return the number of a label that is stated by number or name."""
    if is_number(label):
        number = int(label)
        refused = labels.add(category, number) if number else None
        if refused:
            raise ValueError(f"{where}: {category} has {refused}: correct one of them")
        return number
    members = labels.names.get(category, {})
    for number, name in members.items():
        if name == label:
            return number
    if labels.stated_in:
        raise ValueError(f"{where}: {labels.stated_in} lists no label {label!r} in {category}: correct one of them")
    number = first_free(labels)
    labels.names.setdefault(category, {})[number] = label
    return number


def first_free(labels: SourceLabels) -> int:
    """Return the number after the largest one that a label has."""
    return max((number for members in labels.names.values() for number in members), default=0) + 1
