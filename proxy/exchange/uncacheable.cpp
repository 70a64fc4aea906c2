#include "proxy/exchange/uncacheable.hpp"

#include <algorithm>
#include <iterator>

#include "proxy/exchange/fill.hpp"
#include "proxy/net/clock.hpp"

namespace larder::proxy {

using rules::BodyKind;
using rules::NotStored;

namespace {

/// The request was at fault: its head, its credentials, how often its client asks. The next one's need not be. Not so
/// of a status that says what the resource is.
bool blames_request(int status) noexcept
{
    constexpr int of_the_resource[] = {404, 405, 410, 451};
    return status >= 400 && status < 500 && std::ranges::find(of_the_resource, status) == std::end(of_the_resource);
}

asio::awaitable<void> end_uncacheable(Services& services, std::string key, std::string variant)
{
    co_await services.cache.forget_uncacheable(key, variant);
}

}  // namespace

rules::StoreJudgement judge_answer(const Services& services, const Exchange& exchange,
                                   const rules::ResponseHead& response, rules::WallTime requested,
                                   rules::WallTime received, bool part_asked)
{
    rules::StoreJudgement judged =
        rules::judge_store(exchange.head, response, *exchange.judgement.rule, requested, received, part_asked);
    if (judged.reason != NotStored::none) return judged;
    if (response.body == BodyKind::length && response.content_length > services.config->max_object)
        judged.reason = NotStored::too_large;
    else if (response.body == BodyKind::until_close)
        judged.reason = NotStored::close_delimited;
    return judged;
}

bool is_lasting(const rules::ResponseHead& response, NotStored reason) noexcept
{
    switch (reason) {
    case NotStored::none:
    case NotStored::not_final:
    case NotStored::partial:
    case NotStored::response_authorization: return false;
    default: return response.status < 500 && !blames_request(response.status);
    }
}

void review_uncacheable(Services& services, const Exchange& exchange, const rules::ResponseHead& response)
{
    if (exchange.count.not_stored == NotStored::too_large) return;  // the head alone does not tell
    const rules::WallTime now = wall_now();
    const NotStored reason = judge_answer(services, exchange, response, now, now).reason;
    if (reason != NotStored::none) {
        if (is_lasting(response, reason))
            services.fills.remember_uncacheable(exchange.stored_as, reason, instant_now() + uncacheable_memory);
        return;
    }
    // The others are told once; the client does not wait for it.
    const bool was_known = services.fills.forget_uncacheable(exchange.stored_as);
    const bool is_shared = !services.cache.embedded() && exchange.judgement.rule->coalesce == rules::Coalesce::fleet;
    if (was_known && is_shared)
        services.tasks.spawn("end uncacheable", end_uncacheable(services, exchange.key, exchange.variant));
}

}  // namespace larder::proxy
