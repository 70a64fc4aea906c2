// POST /purge: a purge by hand, appended to the same log as those of writes. Answers when the log has it.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "config/config.hpp"
#include "proxy/admin/answer.hpp"
#include "proxy/admin/request.hpp"
#include "proxy/net/asio.hpp"
#include "rules/base/errors.hpp"
#include "rules/base/time.hpp"
#include "rules/key/cache_key.hpp"

namespace larder::proxy {

/// What became of a purge that was handed to the log.
struct HandPurge {
    enum class Kind : std::uint8_t {
        appended,    // the log has all of it
        deferred,    // the store is away: what is missing is queued, and appended before the store is trusted again
        unanswered,  // nobody has said in time; it may or may not have been appended
        stopping,    // nothing was done: this process drains
    } kind = Kind::unanswered;
    rules::Errc error = rules::Errc::ok;     // why it was deferred
    std::vector<rules::Position> positions;  // of the records that were appended, rising
};
/// Appends the targets. Called on the admin server's thread; ends by a deadline of its own.
using PurgeByHand = std::function<asio::awaitable<HandPurge>(std::vector<rules::PurgeTarget>)>;

/// @param from  the client's address, for the log line
asio::awaitable<AdminResponse> answer_purge(const AdminRequest& request, std::string from,
                                            const config::ConfigPtr& config, const PurgeByHand& purge);

}  // namespace larder::proxy
