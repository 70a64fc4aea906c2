#include "proxy/service_manager.hpp"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdlib>

#include "proxy/net/clock.hpp"

namespace larder::proxy {

ServiceManager::ServiceManager()
{
    const char* address = std::getenv("NOTIFY_SOCKET");
    if (address == nullptr) return;
    // A path, or `@` and a name in the abstract namespace.
    if (address[0] == '/' || address[0] == '@') address_ = address;
    ::unsetenv("NOTIFY_SOCKET");
}

void ServiceManager::say_ready() const { send("READY=1"); }

void ServiceManager::say_reloading() const
{
    send("RELOADING=1\nMONOTONIC_USEC=" + std::to_string(monotonic_now().count()));
}

void ServiceManager::say_stopping() const { send("STOPPING=1"); }

void ServiceManager::say_alive() const { send("WATCHDOG=1"); }

// Nobody waits for the manager: what it does not take at once it does not get.
void ServiceManager::send(std::string_view state) const noexcept
{
    sockaddr_un to{};
    if (address_.empty() || address_.size() >= sizeof to.sun_path) return;
    to.sun_family = AF_UNIX;
    std::copy(address_.begin(), address_.end(), to.sun_path);
    if (to.sun_path[0] == '@') to.sun_path[0] = '\0';
    const int fd = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0) return;
    const auto length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + address_.size());
    ::sendto(fd, state.data(), state.size(), MSG_DONTWAIT | MSG_NOSIGNAL, reinterpret_cast<const sockaddr*>(&to),
             length);
    ::close(fd);
}

}  // namespace larder::proxy
