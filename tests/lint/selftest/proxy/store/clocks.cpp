#include "config/config.hpp"
#include "proxy/net/clock.hpp"
#include "proxy/coherence/purge_log.hpp"  // expect: arrows
#include <yaml-cpp/yaml.h>                // expect: arrows
auto a = std::chrono::steady_clock::now();          // expect: clock
auto b = Clock::now ();                             // expect: clock
auto c = time(nullptr);                             // expect: clock
auto d = clock_gettime(CLOCK_REALTIME, &t);         // expect: clock
auto e = instant_now();
auto f = "system_clock::now() in a string";
auto g = entry.time(0), h = 1'000'000;              // steady_clock::now() in a comment
