// The door for fuzzers that steer by coverage: libFuzzer, AFL++ and what else calls LLVMFuzzerTestOneInput. The target
// is named by the environment: LARDER_FUZZ_TARGET=request_head.
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>

#include "targets.hpp"

namespace {

const larder::fuzz::Target& chosen_target()
{
    const char* name = std::getenv("LARDER_FUZZ_TARGET");
    for (const auto& target : larder::fuzz::targets)
        if (name && target.name == name) return target;
    std::fputs("LARDER_FUZZ_TARGET names one of:\n", stderr);
    for (const auto& target : larder::fuzz::targets)
        std::fprintf(stderr, "  %.*s\n", static_cast<int>(target.name.size()), target.name.data());
    std::exit(2);
}

}  // namespace

/// An unknown name ends the program here: to end it within a test counts as a crash, whose input is written to a file.
extern "C" int LLVMFuzzerInitialize(int*, char***)
{
    chosen_target();
    return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    static const larder::fuzz::Target& target = chosen_target();
    try {
        target.check({reinterpret_cast<const char*>(data), size});
    } catch (const std::exception& e) {
        std::fprintf(stderr, "%s\n", e.what());
        std::abort();
    }
    return 0;
}
