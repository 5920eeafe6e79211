"""Result stores: one zarr group in one zip file, published whole or not at all."""

from convergent.store.archive import fingerprint, open_file
from convergent.store.on_disk import RowFile, StoredArray, TargetBlocks, require_room, rows_of
from convergent.store.request import Sources, StoreRequest, attributes, read_record
from convergent.store.store import (
    Inspected,
    Kind,
    Store,
    inspect_store,
    open_dataset,
    open_store,
    publish,
    read_store,
    software,
    stamp,
    write_store,
)

__all__ = [
    "Inspected",
    "Kind",
    "RowFile",
    "Sources",
    "Store",
    "StoreRequest",
    "StoredArray",
    "TargetBlocks",
    "attributes",
    "fingerprint",
    "inspect_store",
    "open_dataset",
    "open_file",
    "open_store",
    "publish",
    "read_record",
    "read_store",
    "require_room",
    "rows_of",
    "software",
    "stamp",
    "write_store",
]
