// What a probe is told: `ok`, or a line for each check, in the form of Kubernetes' own servers.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace larder::proxy {

/// One thing that a probe looks at.
struct ProbeCheck {
    enum class State : std::uint8_t {
        ok,
        degraded,  // worth knowing, and no reason to fail
        failed,
    };
    std::string name;  // as "store"
    State state = State::ok;
    std::string why;  // in words, unless it is ok
};

/// `livez`: is the process alive; `readyz`: shall it be given requests.
struct Probe {
    std::string name;
    std::vector<ProbeCheck> checks;

    bool passes() const noexcept;
    /// `ok` when it passes and nobody asks for more; else `[+]name ok`, `[!]name why` or `[-]name failed: why` for each
    /// check, and `readyz check passed` or `failed`.
    std::string text(bool verbose) const;
};

}  // namespace larder::proxy
