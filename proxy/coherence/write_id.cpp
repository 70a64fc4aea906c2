#include "proxy/coherence/write_id.hpp"

#include <atomic>
#include <random>

#include "rules/base/appender.hpp"

namespace larder::proxy {

std::string next_write_id(std::string_view rule)
{
    static const std::string replica = [] {
        std::random_device random;
        static constexpr char digits[] = "0123456789abcdef";
        std::string name;
        for (int i = 0; i < 12; ++i) name += digits[random() % 16];
        return name;
    }();
    static std::atomic<std::uint64_t> count{0};
    std::string id;
    id.reserve(replica.size() + 48 + rule.size());  // also for what a caller adds
    (id += replica) += '-';
    rules::append_number(id, count.fetch_add(1, std::memory_order_relaxed) + 1);
    if (!rule.empty()) (id += '/') += rule;
    return id;
}

std::string write_id_of_part(std::string_view write_id, std::size_t part)
{
    return (std::string(write_id) += '#') += std::to_string(part);
}

std::string_view rule_of_write(std::string_view write_id) noexcept
{
    const std::size_t slash = write_id.find('/');
    if (slash == std::string_view::npos) return {};
    write_id.remove_prefix(slash + 1);
    return write_id.substr(0, write_id.find('#'));
}

}  // namespace larder::proxy
