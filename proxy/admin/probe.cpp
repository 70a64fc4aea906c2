#include "proxy/admin/probe.hpp"

#include <algorithm>

namespace larder::proxy {

bool Probe::passes() const noexcept
{
    return std::none_of(checks.begin(), checks.end(),
                        [](const ProbeCheck& check) { return check.state == ProbeCheck::State::failed; });
}

std::string Probe::text(bool verbose) const
{
    const bool passed = passes();
    if (passed && !verbose) return "ok";
    std::string lines;
    for (const ProbeCheck& check : checks) {
        switch (check.state) {
        case ProbeCheck::State::ok: lines += "[+]" + check.name + " ok\n"; break;
        case ProbeCheck::State::degraded: lines += "[!]" + check.name + " " + check.why + "\n"; break;
        case ProbeCheck::State::failed: lines += "[-]" + check.name + " failed: " + check.why + "\n"; break;
        }
    }
    return lines + name + " check " + (passed ? "passed" : "failed") + "\n";
}

}  // namespace larder::proxy
