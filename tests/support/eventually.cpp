#include "tests/support/eventually.hpp"

#include <poll.h>

#include <cstdlib>
#include <ctime>
#include <stdexcept>
#include <string>

namespace larder::tests {

namespace {

std::uint64_t factor(const char* variable)
{
    const char* text = std::getenv(variable);
    const long value = text ? std::strtol(text, nullptr, 10) : 1;
    return value < 1 ? 1 : static_cast<std::uint64_t>(value);
}

}  // namespace

std::chrono::nanoseconds precise_time()
{
    timespec now{};
    ::clock_gettime(CLOCK_MONOTONIC, &now);
    return std::chrono::seconds{now.tv_sec} + std::chrono::nanoseconds{now.tv_nsec};
}

milliseconds monotonic_time() { return std::chrono::duration_cast<milliseconds>(precise_time()); }

milliseconds step_limit() { return 10s * static_cast<int>(factor("LARDER_TEST_PATIENCE")); }

std::uint64_t scaled(std::uint64_t full)
{
    const std::uint64_t reduced = full / factor("LARDER_TEST_SCALE");
    return reduced == 0 ? 1 : reduced;
}

bool eventually(const std::function<bool()>& condition, milliseconds limit)
{
    const milliseconds end = monotonic_time() + limit;
    for (;;) {
        if (condition()) return true;
        if (monotonic_time() >= end) return false;
        ::poll(nullptr, 0, 2);
    }
}

void await_condition(std::string_view what, const std::function<bool()>& condition, milliseconds limit)
{
    if (!eventually(condition, limit)) throw std::runtime_error("waited in vain: " + std::string(what));
}

}  // namespace larder::tests
