"""The process that serves: what it needs is there before it opens its port, or it does not."""

from __future__ import annotations

import asyncio
import gc
import ipaddress
import logging
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from gatewright.errors import Misuse, Undecided
from gatewright.serving.access import Keys, Limits
from gatewright.serving.bundle import Bundle, read_bundle
from gatewright.serving.log import Log

if TYPE_CHECKING:
    import uvicorn

GRACE = 20  # seconds that requests have to end
Fetch = Callable[[], Path | None]  # a folder with another bundle, or None where nothing changed


@dataclass(frozen=True)
class Address:
    """Where a service is asked: TLS and keys are files."""

    host: str = "127.0.0.1"
    port: int = 8080
    keys: Path | None = None
    certificate: Path | None = None
    private: Path | None = None


def is_loopback(host: str) -> bool:
    with suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return host == "localhost"


def check_address(address: Address) -> Keys | None:
    """The keys. Raises Misuse if others than this machine could ask without one."""
    if address.keys is None and not is_loopback(address.host):
        raise Misuse(
            f"Everybody who reaches {address.host} could ask, because there is no key. Make one "
            "with `mlops key NAME --ends DAY`, put its line into a file, and give it with --keys "
            "FILE; or serve on 127.0.0.1."
        )
    if (address.certificate is None) != (address.private is None):
        raise Misuse("TLS needs both --tls-certificate and --tls-key.")
    return Keys(address.keys) if address.keys else None


def serve(
    folder: Path,
    address: Address,
    log: Path | None,
    fetch: Fetch,
    every: float,
    shadow: Path | None = None,
    limits: Limits | None = None,
) -> None:
    """Answer until stopped. SIGHUP, and every so many seconds `fetch`, look for another version.

    A version that cannot be read, or fails its golden requests, is told and refused; the one before
    goes on answering.
    """
    try:
        import uvicorn

        from gatewright.serving.app import Service, Settings, app_of
    except ImportError as error:
        raise Undecided(
            f"What serves is not installed ({error.name}). Run `uv add --group serve "
            "'gatewright[serve]'`, then again with `uv run --group serve`."
        ) from error
    keys = check_address(address)
    bundle = read_bundle(folder)
    other: Bundle | None = read_bundle(shadow) if shadow else None
    kept = Log(log).start() if log else None
    try:
        settings = Settings(limits=limits or Limits())
        service = Service(bundle, settings, keys, kept, other)
        logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
        config = uvicorn.Config(
            app_of(service),
            host=address.host,
            port=address.port,
            access_log=False,
            log_level="warning",
            server_header=False,
            timeout_graceful_shutdown=GRACE,
            ssl_certfile=address.certificate,
            ssl_keyfile=address.private,
            backlog=4096,
        )
        server = uvicorn.Server(config)

        def look() -> None:
            try:
                if (found := fetch()) is None:
                    return
                service.swap(read_bundle(found))
            except Exception as error:  # whatever it is, the version that is here goes on
                service.metrics.refused.inc()
                print(f"still {service.live.about.version}: {error}", file=sys.stderr, flush=True)

        gc.collect()
        gc.freeze()  # what is here now stays: nobody needs to look through it again
        asyncio.run(_run(server, look, every))
    finally:
        if kept is not None:
            kept.stop()
            if kept.dropped:
                print(f"{kept.dropped:,} log lines were dropped.", file=sys.stderr, flush=True)
    if not server.started:
        raise Undecided(
            f"{address.host}:{address.port} cannot be listened on; its message stands above."
        )


async def _run(server: uvicorn.Server, look: Callable[[], None], every: float) -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        # uvicorn takes these, ends, and raises them again: what waits for the log would be lost.
        signal.signal(number, lambda *_: None)
    again = asyncio.Event()
    loop = asyncio.get_running_loop()
    if hasattr(signal, "SIGHUP"):
        loop.add_signal_handler(signal.SIGHUP, again.set)

    async def watch() -> None:
        while True:
            with suppress(TimeoutError):
                await asyncio.wait_for(again.wait(), every or None)
            again.clear()
            await asyncio.to_thread(look)

    watching = asyncio.create_task(watch())
    try:
        await server.serve()
    finally:
        watching.cancel()
