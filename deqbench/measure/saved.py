"""Peak bytes that autograd keeps for the backward pass, counted by hooks on what it saves."""

import weakref
from collections import Counter
from collections.abc import Iterable

from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks


class SavedBytes(saved_tensors_hooks):
    """Counts the storages that graphs made inside the block save, while the graphs keep them.

    `with SavedBytes(parameters) as saved: ...` then saved.peak, bytes. A storage counts once, however many nodes save
    it; those of the tensors given do not count. What torch's checkpointing keeps is not seen: it has hooks of its own.
    """

    def __init__(self, known: Iterable[Tensor] = ()) -> None:
        super().__init__(self._pack, lambda packed: packed.tensor)
        self.outside = {tensor.untyped_storage().data_ptr() for tensor in known}
        self.held: Counter[int] = Counter()  # savings of each storage, by its address
        self.live = self.peak = 0

    def __enter__(self) -> "SavedBytes":  # type: ignore[override]
        super().__enter__()
        return self

    def _pack(self, tensor: Tensor) -> "_Packed":
        packed, storage = _Packed(tensor), tensor.untyped_storage()
        key, size = storage.data_ptr(), storage.nbytes()
        if size and key not in self.outside:
            if not self.held[key]:
                self.live += size
                self.peak = max(self.peak, self.live)
            self.held[key] += 1
            weakref.finalize(packed, self._release, key, size)
        return packed

    def _release(self, key: int, size: int) -> None:
        self.held[key] -= 1
        if not self.held[key]:
            self.live -= size


class _Packed:
    """A node's stand-in for its tensor in the graph, to be told when it is let go."""

    def __init__(self, tensor: Tensor) -> None:
        self.tensor = tensor
