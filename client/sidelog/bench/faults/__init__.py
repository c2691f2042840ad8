"""What faults of the daemon cost a training: step times, logging calls, the end of the process."""
