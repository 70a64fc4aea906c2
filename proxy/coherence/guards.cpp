#include "proxy/coherence/guards.hpp"

#ifdef LARDER_TEST_GUARDS

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <iterator>

namespace larder::proxy {

namespace {

std::atomic<std::uint32_t> taken_out{0};

constexpr std::string_view names[] = {
#define X(name, without) #name,
    LARDER_GUARDS(X)
#undef X
};
static_assert(std::size(names) <= 32);

}  // namespace

bool guarded(Guard guard) noexcept
{
    return (taken_out.load(std::memory_order_relaxed) >> static_cast<unsigned>(guard) & 1) == 0;
}

std::string take_out_guards(std::string_view list)
{
    std::uint32_t mask = 0;
    while (!list.empty()) {
        const std::string_view name = list.substr(0, list.find(','));
        list.remove_prefix(std::min(list.size(), name.size() + 1));
        std::size_t index = 0;
        while (index < std::size(names) && names[index] != name) ++index;
        if (index == std::size(names)) return std::string(name.empty() ? "(empty)" : name);
        mask |= 1u << index;
    }
    taken_out.store(mask, std::memory_order_relaxed);
    return {};
}

std::string take_out_guards_of_environment()
{
    const char* list = std::getenv("LARDER_WITHOUT_GUARD");
    return take_out_guards(list ? list : "");
}

std::string guards_out()
{
    std::string out;
    for (std::size_t i = 0; i < std::size(names); ++i)
        if (!guarded(static_cast<Guard>(i))) (out += out.empty() ? "" : ",") += names[i];
    return out;
}

}  // namespace larder::proxy

#endif
