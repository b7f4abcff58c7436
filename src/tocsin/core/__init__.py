"""The rules of on-call: values in, values out. No clock, no I/O, no logging."""
