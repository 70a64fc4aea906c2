#include "proxy/exchange/purge_note.hpp"

#include <algorithm>

#include "proxy/net/clock.hpp"

namespace larder::proxy {

void note_purge(const Services& services, const WritePurge& purge, PurgeSource source, rules::Errc committed)
{
    if (purge.targets.empty()) return;
    RecentPurge note;
    note.time = wall_now();
    note.source = source;
    if (committed != rules::Errc::ok)
        note.state = services.cache.fenced(purge) ? RecentPurge::State::fenced : RecentPurge::State::deferred;
    if (source == PurgeSource::write) note.rule = purge.rule;
    note.keys = static_cast<std::uint32_t>(
        std::count_if(purge.targets.begin(), purge.targets.end(), [](const auto& target) { return target.exact; }));
    note.patterns = static_cast<std::uint32_t>(purge.targets.size()) - note.keys;
    services.recent_purges.add(std::move(note));
}

}  // namespace larder::proxy
