// The page at / of the admin port: proxy/admin/dashboard/index.html, which CMake puts into the binary. It asks this
// port for /metrics, /health/cache, /rules and /events, and nobody else for anything.
#pragma once

#include <string_view>

#include "proxy/admin/answer.hpp"

namespace larder::proxy {

/// The file, as it was when the program was built.
std::string_view dashboard_page() noexcept;

/// The page with a Content-Security-Policy that allows its own style and script, by their hashes, and what it asks of
/// this port.
AdminResponse answer_dashboard();

}  // namespace larder::proxy
