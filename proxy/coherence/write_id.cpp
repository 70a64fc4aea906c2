#include "proxy/coherence/write_id.hpp"

#include <atomic>
#include <random>

namespace larder::proxy {

std::string next_write_id()
{
    static const std::string replica = [] {
        std::random_device random;
        static constexpr char digits[] = "0123456789abcdef";
        std::string name;
        for (int i = 0; i < 12; ++i) name += digits[random() % 16];
        return name;
    }();
    static std::atomic<std::uint64_t> count{0};
    return replica + '-' + std::to_string(count.fetch_add(1, std::memory_order_relaxed) + 1);
}

}  // namespace larder::proxy
