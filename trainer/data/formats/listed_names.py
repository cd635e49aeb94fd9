"""Names in a list of images -> the files that they name, with or without folder and suffix."""

from collections.abc import Iterable, Sequence

from trainer.data.formats.image_files import is_image
from trainer.data.listing import Listing
from trainer.data.names import plain_name, printable
from trainer.data.storage import Place
from trainer.errors import DataError


class Files:
    """The files below a dataset, by the ends of their paths."""

    def __init__(self, place: Place, listing: Listing):
        self._place, self._known = place, listing.sizes.keys() | listing.unusable.keys()
        self._ends: dict[int, dict[str, list[str]]] = {}

    def resolve(self, name: str, folder: str, where: str) -> str:
        """The file that a name in a list means; the name itself where no file matches.

        A name may lack its leading folders and the suffix of an image.

        Args:
          folder: a file in it comes before one elsewhere, such as the folder of the split; empty: none does.
          where: file and line of the name, for messages.

        Raises:
          DataError: the name leads out of the dataset, or several files match.
        """
        plain = plain_name(name.removeprefix("./").replace("\\", "/"), where)
        for exact in (f"{folder}/{plain}" if folder else plain, plain):
            if exact in self._known:
                return exact
        matching = self._by_end(plain.count("/") + 1).get(plain, [])
        inside = [path for path in matching if folder and path.startswith(f"{folder}/")]
        matching = inside or matching
        if len(matching) > 1:
            first, second = (printable(self._place.address(path)) for path in matching[:2])
            raise DataError(
                f"data: {where} must name one file, got {printable(plain)!r}: {first} and {second}",
                "write the path of the file, relative to the dataset",
            )
        return matching[0] if matching else plain

    def _by_end(self, parts: int) -> dict[str, list[str]]:
        """Last ``parts`` parts of a path, with and without the suffix of an image -> paths that end so."""
        if parts not in self._ends:
            ends: dict[str, list[str]] = {}
            for path in sorted(self._known):
                end = "/".join(path.split("/")[-parts:])
                ends.setdefault(end, []).append(path)
                if is_image(path):
                    ends.setdefault(end.rpartition(".")[0], []).append(path)
            self._ends[parts] = ends
        return self._ends[parts]

    def unlisted(self, listed: Iterable[str], folder: str = "") -> list[str]:
        """Files below a folder that no list names, sorted."""
        listed, below = set(listed), f"{folder}/" if folder else ""
        return sorted(path for path in self._known - listed if path.startswith(below))

    def check_some_exist(self, names: Sequence[str], source: str) -> None:
        """Raise DataError where none of the listed files is there: the list belongs to other files."""
        if names and self._known.isdisjoint(names):
            shown = ", ".join(printable(name) for name in names[:3])
            raise DataError(
                f"data: {source} must name files in {self._place.path}, "
                f"got {len(names):,} names of which none is there: {shown}",
                "names are relative to the dataset, with or without their folders and suffix",
            )
