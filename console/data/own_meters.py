"""The platform's own meters as pages name them: all that were ever declared in the database."""

import streamlit as st

from console.data import database
from console.data.transactions import read_transaction_as
from metering.catalogue import own_meters
from metering.catalogue.meters import METERS
from metering.catalogue.own_meters import OwnMeter


@st.cache_data(ttl=30, max_entries=4, show_spinner=False)
def _by_name(address: str) -> dict[str, OwnMeter]:
    with read_transaction_as(None) as page:  # the title of a meter is the same for everybody
        return own_meters.by_name(page.connection)


def by_name() -> dict[str, OwnMeter]:
    """Return the meters by name; at most half a minute old. Raises DatabaseUnavailable."""
    return _by_name(database.key())


def label(meter: str) -> str:
    """Return the title of a meter, built in or not; its name where nobody declared it."""
    return METERS[meter].label if meter in METERS else own_meters.find(meter, by_name()).title


def unit(meter: str) -> str:
    """Return the unit of a meter, built in or not; empty where nobody declared it."""
    return METERS[meter].unit if meter in METERS else own_meters.find(meter, by_name()).unit
