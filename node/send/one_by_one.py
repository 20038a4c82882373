"""What deliveries have in common that send one object after the other, and what lies sealed in a job's folder."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from dicom_sr.profile import ObjectFile
from node.errors import ConfigurationError, PeerUnavailable
from node.send.delivery import Answer, F
from node.study.sealing import unseal


class OneByOne:
    """A delivery to a peer with which nothing is negotiated, and that cannot be asked for what it has.

    Parameters
    ----------
    name
        Of the destination; messages begin with it.
    key_file
        Opens what is sealed.
    """

    def __init__(self, name: str, key_file: Path | None) -> None:
        self._name, self._key_file = name, key_file

    def announce(self, items: Sequence[ObjectFile]) -> None:
        """Nothing is negotiated beforehand."""

    def send(self, items: Sequence[F]) -> Iterator[tuple[F, Answer]]:
        """Send each and yield the peer's answer.

        Raises
        ------
        PeerUnavailable
            If the peer cannot be reached, is busy, or does not know who asks: all of that may be put right.
        """
        for item in items:
            yield item, self._send(item)

    def find(self, items: Sequence[ObjectFile]) -> set[str] | None:
        """None: such a peer cannot be asked."""
        return None

    def _send(self, item: ObjectFile) -> Answer:
        """Send one; each kind of delivery has its own way."""
        raise NotImplementedError

    def _content(self, item: ObjectFile) -> bytes:
        """What is to be sent, as it was before it was sealed.

        Raises
        ------
        PeerUnavailable
            If it cannot be opened now, which may be put right.
        """
        try:
            return unseal(item.path.read_bytes(), self._key_file)
        except ConfigurationError as error:  # the key is not there
            raise PeerUnavailable(str(error)) from error
        except OSError as error:
            raise PeerUnavailable(f"{self._name}: {error.strerror}") from error
