"""Files of rows: tables that are written whole or not at all, and read back by the names of their columns."""

from advscope.tables.atomic_file import atomic_text, write_atomically
from advscope.tables.masking_rows import read_masking, write_masking
from advscope.tables.netdissect_table import read_netdissect_table, write_netdissect_table
from advscope.tables.significance_rows import read_significances, write_significances
from advscope.tables.unit_rows import read_units, write_units

__all__ = [
    "atomic_text",
    "read_masking",
    "read_netdissect_table",
    "read_significances",
    "read_units",
    "write_atomically",
    "write_masking",
    "write_netdissect_table",
    "write_significances",
    "write_units",
]
