#include "proxy/net/pause.hpp"

namespace larder::proxy {

asio::awaitable<void> Pause::wait(rules::Milliseconds time)
{
    over_.reset();
    arm(wheel_, time);
    co_await over_.wait();
    disarm();
}

}  // namespace larder::proxy
