"""SQLAlchemy 2 over psycopg 3: dialect probes, reflection, ORM units of work, pool pre-ping."""
import os
import sys

import sqlalchemy as sa
from sqlalchemy import orm

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "python"))
from transcript import say  # noqa: E402


class Base(orm.DeclarativeBase):
    pass


class Customer(Base):
    __tablename__ = "customer"
    __table_args__ = {"schema": "orm"}
    id: orm.Mapped[int] = orm.mapped_column(primary_key=True)
    name: orm.Mapped[str] = orm.mapped_column(sa.String(80), unique=True)
    orders: orm.Mapped[list["Order"]] = orm.relationship(back_populates="customer", cascade="all, delete-orphan")


class Order(Base):
    __tablename__ = "orders"
    __table_args__ = {"schema": "orm"}
    id: orm.Mapped[int] = orm.mapped_column(primary_key=True)
    total: orm.Mapped[float] = orm.mapped_column(sa.Numeric(12, 2))
    tags: orm.Mapped[list[str]] = orm.mapped_column(sa.ARRAY(sa.Text))
    customer_id: orm.Mapped[int] = orm.mapped_column(sa.ForeignKey("orm.customer.id"))
    customer: orm.Mapped[Customer] = orm.relationship(back_populates="orders")


def reflect(engine):
    meta = sa.MetaData()
    meta.reflect(engine, schema="orm")
    for table in sorted(meta.tables.values(), key=lambda t: t.name):
        say("reflected", table=table.name, columns=[[c.name, str(c.type), c.nullable] for c in table.columns],
            keys=sorted(str(f.target_fullname) for f in table.foreign_keys))
    inspector = sa.inspect(engine)
    say("inspected", unique=inspector.get_unique_constraints("customer", schema="orm"), indexes=inspector.get_indexes("orders", schema="orm"))


def main():
    engine = sa.create_engine("postgresql+psycopg://", pool_pre_ping=True)
    with engine.begin() as conn:
        conn.execute(sa.schema.CreateSchema("orm"))
    Base.metadata.create_all(engine)
    with orm.Session(engine) as session:
        session.add_all([Customer(name=f"c{n}", orders=[Order(total=n * 1.25, tags=["a", str(n)])]) for n in range(30)])
        session.commit()
        found = session.scalars(sa.select(Customer).where(Customer.name.like("c1%")).order_by(Customer.id)).all()
        say("orm", names=[c.name for c in found], totals=[o.total for c in found for o in c.orders])
        session.delete(found[0])
        session.commit()
        say("after delete", count=session.scalar(sa.select(sa.func.count()).select_from(Order)))
        session.add(Customer(name="c2"))
        try:
            session.commit()
        except sa.exc.IntegrityError as why:
            session.rollback()
            say("error", sqlstate=why.orig.sqlstate)
    reflect(engine)
    with engine.connect().execution_options(isolation_level="SERIALIZABLE") as conn:
        say("isolation", level=conn.scalar(sa.text("show transaction_isolation")))
        rows = conn.execution_options(stream_results=True, yield_per=100).execute(sa.text("select generate_series(1, 1000)"))
        say("streamed", total=sum(row[0] for row in rows))
    Base.metadata.drop_all(engine)
    with engine.begin() as conn:
        conn.execute(sa.schema.DropSchema("orm"))


main()
