"""sqlite3: a database, byte for byte, and one that is left open."""

import sqlite3

with sqlite3.connect("data.sqlite") as connection:
    connection.execute("create table t (a integer primary key, b text)")
    connection.executemany("insert into t (b) values (?)", [(f"row {n}",) for n in range(500)])
print(connection.execute("select count(*), max(b) from t").fetchall())
left_open = sqlite3.connect("open.sqlite")
left_open.execute("create table t (a)")
left_open.execute("insert into t values (1)")
print(left_open.in_transaction)
