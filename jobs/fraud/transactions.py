"""Card transactions that nobody made, in an endless table: row i is a function of i alone.

Each row draws a fixed number of values from a counter-based generator, so any run of rows can be made on its own, and
the rows are the same whatever the runs. Fraud is drawn with a probability that grows with what the features tell, and
with the country, which no feature tells.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from scipy.special import expit, ndtri

Column = npt.NDArray[np.float64]

SEED = 0
COMPONENTS = tuple(f"v{number:02}" for number in range(1, 11))
FEATURES = (
    *("amount", "amount_last_day", "mean_amount_30d", "amount_to_mean", "hour", "weekday"),
    *("account_age_days", "card_age_days", "email_age_days", "merchant_distance_km", "seconds_since_last"),
    *("transactions_last_hour", "transactions_last_day", "declines_last_day", "failed_logins_last_day"),
    *("new_merchant", "new_device", "online", "foreign", "address_mismatch", "merchant_risk", "ip_risk"),
    *COMPONENTS,
)
# Share of the rows, and what is added to the log-odds of fraud there; the shares add up to 1.
COUNTRIES = {"DE": (0.30, -0.2), "US": (0.25, 0.0), "FR": (0.20, -0.1), "GB": (0.15, 0.1), "BR": (0.10, 0.6)}
INTERCEPT = -7.87
SCHEMA = pa.schema(
    [("id", pa.int64())]
    + [(name, pa.float32()) for name in FEATURES]
    + [("country", pa.string()), ("is_fraud", pa.int64())]
)
# Philox hands out four values for each step of its counter: a multiple of four.
_DRAWS = 36


def transactions(start: int, stop: int) -> pa.Table:
    """Rows start to stop (without stop) of the endless table, as SCHEMA says; the id of a row is its number."""
    draws = iter(_uniform(start, stop))
    features = {**_purchase(draws), **_history(draws), **_flags(draws)}
    features |= {name: ndtri(next(draws)) for name in COMPONENTS}
    names, shares, offsets = zip(*((name, *rest) for name, rest in COUNTRIES.items()), strict=True)
    country = np.searchsorted(np.cumsum(shares)[:-1], next(draws), side="right")
    chance = expit(_log_odds(features) + np.array(offsets)[country])
    columns = [features[name].astype(np.float32) for name in FEATURES]
    is_fraud = (next(draws) < chance).astype(np.int64)
    return pa.table([np.arange(start, stop), *columns, np.array(names, object)[country], is_fraud], schema=SCHEMA)


def _uniform(start: int, stop: int) -> npt.NDArray[np.float64]:
    """float64[_DRAWS, rows], each between 0 and 1, both excluded."""
    generator = np.random.Philox(key=SEED)
    generator.advance(start * (_DRAWS // 4))
    raw = generator.random_raw((stop - start) * _DRAWS).reshape(-1, _DRAWS)
    return np.ascontiguousarray(raw.T >> np.uint64(12)) * 2.0**-52 + 2.0**-53


def _purchase(draws: Iterator[Column]) -> dict[str, Column]:
    """What is bought, when and how far away; amounts in euros."""
    usual = ndtri(next(draws))
    amount = np.round(np.exp(3.3 + 0.8 * usual + 0.8 * ndtri(next(draws))), 2)
    mean = np.round(np.exp(3.4 + 0.8 * usual + 0.3 * ndtri(next(draws))), 2)
    return {
        "amount": amount,
        "amount_last_day": np.round(amount + np.exp(2.5 + 1.3 * ndtri(next(draws))), 2),
        "mean_amount_30d": mean,
        "amount_to_mean": amount / np.maximum(mean, 1.0),
        # Most cards are used in the afternoon, few at night.
        "hour": np.mod(np.floor(14 + 4.5 * ndtri(next(draws))), 24),
        "weekday": np.floor(7 * next(draws)),
        "merchant_distance_km": np.exp(1.5 + 1.6 * ndtri(next(draws))),
    }


def _history(draws: Iterator[Column]) -> dict[str, Column]:
    """What is known of card and account before this transaction."""
    account = np.floor(3000 * next(draws))
    in_last_hour = _count(next(draws), 0.6)
    return {
        "account_age_days": account,
        "card_age_days": np.floor(account * np.sqrt(next(draws))),
        "email_age_days": np.floor(account + 2000 * next(draws)),
        "seconds_since_last": np.floor(np.exp(9.5 + 1.8 * ndtri(next(draws)))),
        "transactions_last_hour": in_last_hour,
        "transactions_last_day": in_last_hour + _count(next(draws), 2.0),
        "declines_last_day": _count(next(draws), 0.3),
        "failed_logins_last_day": _count(next(draws), 0.35),
    }


def _flags(draws: Iterator[Column]) -> dict[str, Column]:
    """What is unusual about it: 0 or 1, or a risk from 0 to 1."""
    shares = {"new_merchant": 0.25, "new_device": 0.08, "online": 0.45, "foreign": 0.06, "address_mismatch": 0.07}
    flags = {name: (next(draws) < share).astype(np.float64) for name, share in shares.items()}
    return {**flags, "merchant_risk": next(draws) ** 3, "ip_risk": next(draws) ** 4}


def _count(uniform: Column, scale: float) -> Column:
    """A whole number from 0; the larger the scale, the more often it is large."""
    return np.floor(-np.log(uniform) * scale)


def _log_odds(features: dict[str, Column]) -> Column:
    """How likely fraud is, as far as the features tell it."""
    of = features.__getitem__
    night = (of("hour") < 6).astype(np.float64)
    return (
        INTERCEPT
        + 1.6 * np.log(of("amount_to_mean"))
        + 1.4 * night
        + 2.1 * of("new_device") * of("online")
        + 0.9 * of("new_merchant")
        + 1.2 * of("foreign")
        + 1.6 * of("address_mismatch")
        + 2.3 * of("merchant_risk")
        + 2.7 * of("ip_risk") * of("online")
        + 0.9 * np.minimum(of("declines_last_day"), 4)
        + 0.7 * np.minimum(of("failed_logins_last_day"), 4)
        + 0.5 * np.minimum(of("transactions_last_hour"), 5)
        - 0.0007 * of("card_age_days")
        + 1.6 * of("v01")
        - 1.2 * of("v02")
        + 0.9 * of("v03") * of("v04")
    )
