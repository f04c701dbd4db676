"""A device on an I2C bus by SMBus words: port, the kernel's /dev/i2c-N, and the shipped fake.

Source: include/uapi/linux/i2c-dev.h and i2c.h (`I2C_SLAVE`, `I2C_SMBUS`, `struct i2c_smbus_ioctl_data`); two ioctls do
not need a library. SMBus sends the low byte first; `word` and `put_word` speak of the chip's high-byte-first words.
"""

import ctypes
import fcntl
import os
from pathlib import Path
from typing import Protocol

I2C_SLAVE = 0x0703
I2C_SMBUS = 0x0720
WRITE, READ = 0, 1
WORD_DATA = 3


class I2cDevice(Protocol):
    """One chip. Every method raises OSError when the chip does not answer."""

    def open(self) -> None:
        """Take the bus and name the chip."""
        ...

    def word(self, register: int) -> int:
        """Return the 16 bits of `register`, high byte first."""
        ...

    def put_word(self, register: int, value: int) -> None:
        """Write the 16 bits of `register`, high byte first."""
        ...

    def close(self) -> None:
        """Let go; safe to call twice."""
        ...


class _Call(ctypes.Structure):
    _fields_ = (
        ("read_write", ctypes.c_uint8),
        ("command", ctypes.c_uint8),
        ("size", ctypes.c_uint32),
        ("data", ctypes.POINTER(ctypes.c_uint16)),
    )


class LinuxI2cDevice:
    """The chip at 7-bit `address` of bus `device`, such as /dev/i2c-1."""

    def __init__(self, device: Path, address: int) -> None:
        self._device = device
        self._address = address
        self._fd = -1

    def open(self) -> None:
        """Open the bus; the kernel refuses an address that one of its own drivers holds."""
        self._fd = os.open(self._device, os.O_RDWR | os.O_CLOEXEC)
        try:
            fcntl.ioctl(self._fd, I2C_SLAVE, self._address)
        except OSError:
            self.close()
            raise

    def word(self, register: int) -> int:
        """Read a word."""
        return _swapped(self._call(READ, register, 0))

    def put_word(self, register: int, value: int) -> None:
        """Write a word."""
        self._call(WRITE, register, _swapped(value))

    def close(self) -> None:
        """Close the bus."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _call(self, read_write: int, register: int, value: int) -> int:
        word = ctypes.c_uint16(value)
        # The kernel copies sizeof(union i2c_smbus_data) = 34 bytes only for block transfers; a word is two.
        call = _Call(read_write, register, WORD_DATA, ctypes.pointer(word))
        fcntl.ioctl(self._fd, I2C_SMBUS, call)
        return word.value


class SimulatedI2cDevice:
    """A chip as a table of registers; `answering = False` is a chip that is gone."""

    def __init__(self, registers: dict[int, int]) -> None:
        self.registers = registers
        self.answering = True

    def open(self) -> None:
        """Take nothing."""
        self._check()

    def word(self, register: int) -> int:
        """Return a register, 0 if it was never written."""
        self._check()
        return self.registers.get(register, 0)

    def put_word(self, register: int, value: int) -> None:
        """Keep a register."""
        self._check()
        self.registers[register] = value

    def close(self) -> None:
        """Let go of nothing."""

    def _check(self) -> None:
        if not self.answering:
            raise OSError(121, "Remote I/O error")


def _swapped(word: int) -> int:
    return (word & 0xFF) << 8 | word >> 8
