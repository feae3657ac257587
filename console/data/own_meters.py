"""Meters of the platform's own, as pages name them: those that the database has ever had declared."""

import streamlit as st

from console.data import database
from console.data.transactions import read_transaction_as
from metering.catalogue import own_meters
from metering.catalogue.meters import METERS
from metering.catalogue.own_meters import OwnMeter


@st.cache_data(ttl=30, max_entries=4, show_spinner=False)
def _known(address: str) -> dict[str, OwnMeter]:
    with read_transaction_as(None) as page:  # what a meter is called is the same for everybody
        return own_meters.by_name(page.connection)


def known() -> dict[str, OwnMeter]:
    """Return the meters by name; at most half a minute old. Raises DatabaseUnavailable."""
    return _known(database.key())


def label(meter: str) -> str:
    """Return how pages call a meter, built in or not; one that nobody declared is called by its name."""
    return METERS[meter].label if meter in METERS else own_meters.find(meter, known()).title


def unit(meter: str) -> str:
    """Return the unit of a meter, built in or not; empty where nobody declared it."""
    return METERS[meter].unit if meter in METERS else own_meters.find(meter, known()).unit
