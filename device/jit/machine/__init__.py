"""The Unicorn machine; importing it imports Unicorn, so engines do that when the first run asks for it."""

from device.jit.machine.machine import Installed, Machine, Service, no_service

__all__ = ["Installed", "Machine", "Service", "no_service"]
