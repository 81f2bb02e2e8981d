"""What theory says of stops and queues, in seconds. No command of its own."""

import math

# So many requests of a thread get each time of the embedded target's distributions once; see src/target/spread.rs.
PERIOD = 1 << 16


def pause_quantile(q, stop_s, duration_s, utilisation):
    """One stop in an open load at a constant rate; for quantiles that see it."""
    return stop_s - (1 - q) * duration_s * (1 - utilisation)


def pause_mean(stop_s, duration_s, utilisation):
    return stop_s**2 / (2 * duration_s * (1 - utilisation))


def exponential_service(number, mean_s):
    """The service time that the embedded target deals to its request of this number."""
    mask = PERIOD - 1
    x = ((number & mask) * 40_503 + 23_063) & mask
    x = ((x ^ (x >> 8)) * 27_947) & mask
    x = ((x ^ (x >> 7)) * 46_509) & mask
    return -mean_s * math.log(1 - ((x ^ (x >> 9)) + 0.5) / PERIOD)


def even_arrivals(rate, count, mean_s):
    """Response times of a queue with such services and arrivals at a constant rate, ascending: no theory, but the
    recursion itself."""
    free, times = 0.0, []
    for number in range(count):
        arrival = number / rate
        free = max(free, arrival) + exponential_service(number, mean_s)
        times.append(free - arrival)
    return sorted(times)


def quantile(ascending, q):
    return ascending[math.ceil(len(ascending) * q) - 1]
