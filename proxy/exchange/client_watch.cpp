#include "proxy/exchange/client_watch.hpp"

#include <poll.h>

namespace larder::proxy {

namespace {

constexpr rules::Milliseconds every{1'000};

}  // namespace

ClientWatch::ClientWatch(Services& services, Client& client, const Exchange& exchange, Fetch& fetch) noexcept
    : services_(services), client_(client), exchange_(exchange), fetch_(fetch)
{
    arm(services_.wheel, every);
}

void ClientWatch::on_expiry() noexcept
{
    if (!fetch_.connection()) return;  // it has ended
    pollfd asked{client_.transport.fd(), POLLRDHUP, 0};
    if (::poll(&asked, 1, 0) > 0 && (asked.revents & (POLLERR | POLLHUP)) != 0) {
        services_.counters.add(Counter::fetches_abandoned);
        return fetch_.abort(rules::Errc::client_gone);
    }
    const bool may_probe = !probed_ && !exchange_.answered && exchange_.head.minor_version >= 1 && !client_.blocked();
    if ((asked.revents & POLLRDHUP) != 0 && may_probe) {
        probed_ = true;
        client_.put("HTTP/1.1 102 Processing\r\n\r\n");
    }
    arm(services_.wheel, every);
}

}  // namespace larder::proxy
