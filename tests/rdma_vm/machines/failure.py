"""The ways in which a machine can be had or not, as exceptions with words for the person at the terminal."""


class MachineError(Exception):
    """The machine itself failed: it did not boot, or ended before it was asked to."""


class KernelDied(MachineError):
    """The machine's kernel gave up. SoftRoCE is not as steady as a NIC: that says nothing about the program under test."""


class NotAvailable(MachineError):
    """This computer lacks something that the machines need. Tests are skipped then."""
