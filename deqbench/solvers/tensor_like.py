"""An object in a tensor's place: what operators and methods do with it is up to its own `__torch_function__`."""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F


class TensorLike:
    """Something with a `value` of which torch functions are taken another way.

    Operators and methods are looked up on torch: the methods of torch.Tensor do not ask an object that is no tensor.
    """

    value: Tensor

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        raise NotImplementedError

    def __getattr__(self, name: str) -> Any:
        """A method of tensors that is a function of torch too, such as flatten."""
        places = () if name.startswith("_") else (torch, F, Tensor)
        function = next((found for place in places if callable(found := getattr(place, name, None))), None)
        if function is None:
            raise AttributeError(f"'{type(self).__name__}' object has no attribute '{name}'")
        return lambda *args, **kwargs: self.__torch_function__(function, (), (self, *args), kwargs)

    def _of(self, function: Any, *args: Any) -> Any:
        return self.__torch_function__(function, (), (self, *args))

    @property
    def shape(self) -> torch.Size:
        """The value's."""
        return self.value.shape

    @property
    def ndim(self) -> int:
        """The value's."""
        return self.value.ndim

    @property
    def dtype(self) -> torch.dtype:
        """The value's."""
        return self.value.dtype

    @property
    def device(self) -> torch.device:
        """The value's."""
        return self.value.device

    def __len__(self) -> int:
        return len(self.value)

    def dim(self) -> int:
        """The value's."""
        return self.value.ndim

    def numel(self) -> int:
        """The value's."""
        return self.value.numel()

    def size(self, dim: int | None = None) -> Any:
        """The value's."""
        return self.value.size() if dim is None else self.value.size(dim)

    def new_zeros(self, *shape: Any) -> Tensor:
        """A plain tensor."""
        return self.value.new_zeros(*shape)

    def __getitem__(self, key: Any) -> Any:
        return self._of(Tensor.__getitem__, key)

    def __add__(self, other: Any) -> Any:
        return self._of(torch.add, other)

    __radd__ = __add__

    def __sub__(self, other: Any) -> Any:
        return self._of(torch.sub, other)

    def __rsub__(self, other: Any) -> Any:
        return -self + other

    def __mul__(self, other: Any) -> Any:
        return self._of(torch.mul, other)

    __rmul__ = __mul__

    def __truediv__(self, other: Any) -> Any:
        return self._of(torch.div, other)

    def __rtruediv__(self, other: Any) -> Any:
        return self._of(torch.reciprocal) * other

    def __neg__(self) -> Any:
        return self._of(torch.neg)

    def __pow__(self, power: float) -> Any:
        return self._of(torch.pow, power)

    def __matmul__(self, other: Any) -> Any:
        return self._of(torch.matmul, other)

    def __rmatmul__(self, other: Any) -> Any:
        return self.__torch_function__(torch.matmul, (), (other, self))
