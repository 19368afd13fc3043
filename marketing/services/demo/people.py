"""The demo shop's people: names, tastes, habits and consents. Pure."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from marketing.services.demo.shop import TASTES

NEWCOMER_SHARE: Final = 0.12
CONSENTS: Final = {"analytics": 0.96, "personalization": 0.88, "marketing_email": 0.62, "profiling": 0.8}
TASTE_CONCENTRATION: Final = 0.3  # Dirichlet: most people have one or two tastes
SESSIONS_MEDIAN: Final = 6.0  # visits in the whole period
SESSIONS_SIGMA: Final = 0.9  # of their logarithm: a few people come every day, many twice
APPETITE_LOG_MEAN: Final = -0.08
APPETITE_LOG_SIGMA: Final = 0.4
APPETITE_BOUNDS: Final = (0.4, 1.8)
TIERS: Final = ("none", "silver", "gold")
_FIRST: Final = {
    "DE": "Anna Ben Clara David Emma Felix Greta Hannes Ida Jonas Klara Lukas Mia Nils Paula Rosa Theo Ute Vera Willi",
    "AT": "Agnes Bernd Christl Dominik Elisa Florian Gerda Jakob Katharina Leon Magda Niklas Resi Sebastian Toni Vroni",
    "CH": "Aline Beat Corinne Dario Eveline Fabio Heidi Ivo Livia Luca Nadja Reto Seraina Tim Urs Yannick",
    "NL": "Anouk Bram Daan Eva Femke Guus Hugo Isa Jip Koen Lotte Maartje Niels Pien Ruben Saar Teun Wout",
    "FR": "Adèle Bastien Camille Damien Élise Fabien Gaëlle Hugo Inès Jules Léa Manon Noé Océane Paul Romane Théo Zoé",
    "GB": "Alfie Beth Callum Daisy Ewan Freya George Harriet Isla Jack Kirsty Liam Megan Nora Oscar Poppy Rhys Tess",
}
_LAST: Final = {
    "DE": "Albrecht Becker Brandt Fischer Hartmann Hoffmann Keller Krüger Lange Lorenz Neumann Peters Vogel Wolf",
    "AT": "Aigner Brunner Ebner Gruber Hofer Lechner Mayrhofer Moser Pichler Reiter Steiner Wallner",
    "CH": "Aebischer Baumgartner Bianchi Frei Graf Hürlimann Kunz Meier Rochat Steiner Widmer Zbinden",
    "NL": "Bakker Boer Dekker Dijkstra Groot Hendriks Jansen Mulder Postma Smit Veenstra Visser",
    "FR": "Aubert Bonnet Chevalier Dupuis Fournier Garnier Lambert Leroy Mercier Perrin Roussel Vidal",
    "GB": "Ashworth Barlow Carter Doyle Fletcher Hughes Kerr Morgan Nolan Pritchard Reid Walsh",
}
_SHARES: Final = {"DE": 0.38, "GB": 0.18, "FR": 0.16, "NL": 0.12, "AT": 0.09, "CH": 0.07}
_LANGUAGES: Final = {"DE": "de", "GB": "en", "FR": "fr", "NL": "nl", "AT": "de", "CH": "de"}
_ZONES: Final = {
    "DE": "Europe/Berlin",
    "GB": "Europe/London",
    "FR": "Europe/Paris",
    "NL": "Europe/Amsterdam",
    "AT": "Europe/Vienna",
    "CH": "Europe/Zurich",
}


@dataclass(frozen=True, slots=True)
class Person:
    """What the shop knows of somebody."""

    number: int
    first_name: str
    last_name: str
    email: str
    country: str
    language: str
    timezone: str
    birth_year: int
    tier: str
    consents: tuple[tuple[str, bool], ...]


@dataclass(frozen=True, slots=True)
class People:
    """People with what drives them; all arrays have one row per person."""

    persons: tuple[Person, ...]
    tastes: NDArray[np.float64]  # people × tastes, rows sum to 1
    visits: NDArray[np.float64]  # expected number in the whole period
    hour: NDArray[np.float64]  # of the day they prefer
    appetite: NDArray[np.float64]  # multiplies the conversion rate
    is_newcomer: NDArray[np.bool_]
    is_addressable: NDArray[np.bool_]  # consents to what campaigns need


def build_people(*, rng: np.random.Generator, number: int, first: int = 0) -> People:
    """Draw `number` people; `first` numbers them."""
    countries = rng.choice(list(_SHARES), size=number, p=list(_SHARES.values()))
    consents = {purpose: rng.random(number) < share for purpose, share in CONSENTS.items()}
    years = np.clip(np.round(rng.normal(1984, 13, number)), 1938, 2006).astype(int)
    visits = rng.lognormal(np.log(SESSIONS_MEDIAN), SESSIONS_SIGMA, number)
    tiers = np.digitize(visits * rng.uniform(0.6, 1.4, number), (9.0, 20.0))
    first_draw, last_draw = rng.random(number), rng.random(number)
    persons = tuple(
        _person(
            number=first + row,
            country=str(countries[row]),
            draws=(float(first_draw[row]), float(last_draw[row])),
            birth_year=int(years[row]),
            tier=TIERS[int(tiers[row])],
            consents=tuple((purpose, bool(granted[row])) for purpose, granted in consents.items()),
        )
        for row in range(number)
    )
    return People(
        persons=persons,
        tastes=rng.dirichlet(np.full(len(TASTES), TASTE_CONCENTRATION), number),
        visits=visits,
        hour=np.where(rng.random(number) < 0.65, rng.normal(19.5, 1.8, number), rng.normal(12.0, 2.5, number)) % 24,
        appetite=np.clip(rng.lognormal(APPETITE_LOG_MEAN, APPETITE_LOG_SIGMA, number), *APPETITE_BOUNDS),
        is_newcomer=rng.random(number) < NEWCOMER_SHARE,
        is_addressable=consents["analytics"] & consents["personalization"],
    )


def _person(
    *,
    number: int,
    country: str,
    draws: tuple[float, float],
    birth_year: int,
    tier: str,
    consents: tuple[tuple[str, bool], ...],
) -> Person:
    firsts, lasts = _FIRST[country].split(), _LAST[country].split()
    first_name, last_name = firsts[int(draws[0] * len(firsts))], lasts[int(draws[1] * len(lasts))]
    # example.org is reserved (RFC 2606): a demo never writes to anybody.
    plain = unicodedata.normalize("NFKD", f"{first_name}.{last_name}").encode("ascii", "ignore").decode().lower()
    return Person(
        number=number,
        first_name=first_name,
        last_name=last_name,
        email=f"{plain}.{number}@example.org",
        country=country,
        language=_LANGUAGES[country],
        timezone=_ZONES[country],
        birth_year=birth_year,
        tier=tier,
        consents=consents,
    )
