"""Result stores: one zarr group in one zip file, published whole or not at all."""

from convergent.store.on_disk import RowFile, StoredArray, TargetBlocks, require_room, rows_of
from convergent.store.store import (
    Kind,
    Store,
    fingerprint,
    open_dataset,
    publish,
    read_store,
    software,
    stamp,
    write_store,
)

__all__ = [
    "Kind",
    "RowFile",
    "Store",
    "StoredArray",
    "TargetBlocks",
    "fingerprint",
    "open_dataset",
    "publish",
    "read_store",
    "require_room",
    "rows_of",
    "software",
    "stamp",
    "write_store",
]
