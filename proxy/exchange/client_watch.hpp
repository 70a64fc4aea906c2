// Ends a read that nobody waits for any more, so that hanging clients do not fill the upstream.
#pragma once

#include "proxy/exchange/exchange.hpp"
#include "proxy/net/deadline.hpp"
#include "proxy/upstream/fetch.hpp"

namespace larder::proxy {

/// Looks at the client each second while its request is at the upstream. A client that has reset its connection is
/// gone: the fetch is aborted with client_gone. One that has closed its side may still read, and TCP does not tell: it
/// is sent an interim head (RFC 9110 §15.2: whoever reads can take that), which the kernel of one that is gone answers
/// with a reset. All parameters outlive it. Single-threaded.
class ClientWatch final : public Deadline {
  public:
    ClientWatch(Services& services, Client& client, const Exchange& exchange, Fetch& fetch) noexcept;

  private:
    void on_expiry() noexcept override;

    Services& services_;
    Client& client_;
    const Exchange& exchange_;
    Fetch& fetch_;
    bool probed_ = false;
};

}  // namespace larder::proxy
