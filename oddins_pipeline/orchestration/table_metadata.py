"""Column schemas and lineage of the published tables for the Dagster UI, from `schema`."""

from typing import Any

import dagster as dg
from sqlalchemy import Column, Table, UniqueConstraint
from sqlalchemy.dialects import postgresql

from oddins_pipeline.schema.columns import unique_columns

_DIALECT = postgresql.dialect()  # type: ignore[no-untyped-call]


def column_schema(table: Table) -> dg.TableSchema:
    """The table's columns with their true constraints."""
    unique = unique_columns(table)
    return dg.TableSchema(
        columns=[
            dg.TableColumn(
                name=column.name,
                type=_type(column),
                description=_description(column),
                constraints=dg.TableColumnConstraints(
                    nullable=bool(column.nullable), unique=column.name in unique
                ),
            )
            for column in table.columns
        ],
        constraints=dg.TableConstraints(other=_compound_keys(table)),
    )


def table_metadata(table: Table) -> dict[str, Any]:
    """What the definition and each materialization of a table's asset say of it."""
    return {
        "dagster/table_name": f"public.{table.name}",
        "dagster/column_schema": column_schema(table),
    }


def column_lineage(table: Table, upstream: str) -> dg.TableColumnLineage:
    """Which fields of the provider's response each column comes from."""
    return dg.TableColumnLineage(
        {
            column.name: [dg.TableColumnDep(upstream, field) for field in _fields(column)]
            for column in table.columns
            if _fields(column)
        }
    )


def response_schema(*tables: Table) -> dg.TableSchema:
    """The fields of `response` that the tables' columns come from."""
    types: dict[str, str] = {}
    for table in tables:
        for column in table.columns:
            fields = _fields(column)
            for field in fields:
                # A field's type is that of the column which holds nothing else.
                if field not in types or (len(fields) == 1 and not column.foreign_keys):
                    types[field] = _type(column)
    return dg.TableSchema(
        columns=[
            dg.TableColumn(name=field, type=kind, description=f"response[].{field}")
            for field, kind in types.items()
        ]
    )


def _fields(column: Column[object]) -> tuple[str, ...]:
    fields: tuple[str, ...] = column.info["fields"]
    return fields


def _type(column: Column[object]) -> str:
    name = column.type.compile(_DIALECT).lower()
    return "timestamptz" if name == "timestamp with time zone" else name


def _description(column: Column[object]) -> str:
    fields = _fields(column)
    return f"{column.doc}; {', '.join(fields)}" if fields else str(column.doc)


def _compound_keys(table: Table) -> list[str]:
    return [
        f"UNIQUE ({', '.join(constraint.columns.keys())})"
        for constraint in table.constraints
        if isinstance(constraint, UniqueConstraint) and len(constraint.columns) > 1
    ]
