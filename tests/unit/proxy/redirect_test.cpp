#include "proxy/redis/redirect.hpp"

#include <doctest/doctest.h>

using larder::proxy::read_redirect;
using larder::proxy::Redirect;

TEST_CASE("an error reply that says where the data is is told from one that does not")
{
    using Kind = Redirect::Kind;
    struct Row {
        const char* why;
        const char* error;
        Kind kind;
        unsigned slot = 0;
        const char* to = ":0";
    };
    const Row rows[] = {
        {"for good", "MOVED 3999 127.0.0.1:6381", Kind::moved, 3999, "127.0.0.1:6381"},
        {"IPv6 comes without brackets", "MOVED 16383 fd00::1:6381", Kind::moved, 16383, "[fd00::1]:6381"},
        {"a name", "MOVED 0 node-3.internal:7000", Kind::moved, 0, "node-3.internal:7000"},
        {"the node does not know its host", "MOVED 5 :7000", Kind::moved, 5, ":7000"},
        {"for this key only", "ASK 3999 127.0.0.1:6381", Kind::ask, 3999, "127.0.0.1:6381"},
        {"some keys have left", "TRYAGAIN Multiple keys request during rehashing of slot", Kind::try_again},
        {"no majority", "CLUSTERDOWN The cluster is down", Kind::cluster_down},
        {"nobody has the slot", "CLUSTERDOWN Hash slot not served", Kind::cluster_down},
        {"demoted", "READONLY You can't write against a read only replica.", Kind::replica},
        {"the same, out of a script",
         "READONLY You can't write against a read only replica. script: 3f2, on @user_script:14.", Kind::replica},
        {"the same, in the words of Redis 6",
         "ERR Error running script (call to f_3f2): @user_script:14: @user_script: 14: -READONLY You can't write",
         Kind::replica},
        {"min-replicas-to-write", "NOREPLICAS Not enough good replicas to write.", Kind::too_few_replicas},
        {"full", "OOM command not allowed when used memory > 'maxmemory'.", Kind::none},
        {"nothing of the kind", "ERR unknown command 'MOVED'", Kind::none},
        {"without a slot", "MOVED 127.0.0.1:6381", Kind::none},
        {"a slot that cannot be", "MOVED 16384 127.0.0.1:6381", Kind::none},
        {"without a port", "MOVED 1 127.0.0.1", Kind::none},
        {"a port that cannot be", "MOVED 1 127.0.0.1:99999", Kind::none},
        {"nothing behind the word", "MOVED", Kind::none},
        {"nothing", "", Kind::none},
    };
    for (const Row& row : rows) {
        CAPTURE(row.why);
        const Redirect redirect = read_redirect(row.error);
        CHECK(redirect.kind == row.kind);
        CHECK(redirect.slot == row.slot);
        CHECK(redirect.to.to_string() == row.to);
    }
}
