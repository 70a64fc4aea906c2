// Samples for tests/lint/run, not compiled: a line with the word expect and the name of a check must be found by it.
#include "rules/http/fields.hpp"
#include "rules/base/errors.hpp"
#include "rules/match/rule.hpp"         // expect: arrows
#include "rules/pattern/pattern.hpp"    // expect: arrows
#include "proxy/net/clock.hpp"          // expect: arrows
#include "fields.hpp"                   // expect: arrows
#include <yaml-cpp/yaml.h>              // expect: arrows
#include <boost/asio/awaitable.hpp>     // expect: arrows
#include <thread>                       // expect: arrows
#include <boost/beast/http/fields.hpp>
#include <string>
// #include "proxy/app.hpp" in a comment is no include
