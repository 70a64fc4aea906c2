// What people are shown of a purge that has ended: after the write path, and off that of a hit.
#pragma once

#include "proxy/exchange/services.hpp"

namespace larder::proxy {

/// Remembers a purge for the dashboard. Nothing when it names nothing.
/// @param committed  what `CoherentCache::commit` has said
void note_purge(const Services& services, const WritePurge& purge, PurgeSource source, rules::Errc committed);

}  // namespace larder::proxy
