asio::awaitable<void> bad()
{
    co_await f(Opts{host, 80});                                   // expect: co_await
    co_await f({a, b, c});                                        // expect: co_await
    co_await f(Opts{.host = host});                               // expect: co_await
    auto x = cond ? co_await f() : y;                             // expect: co_await
    auto z = co_await f() ? 1 : 2;                                // expect: co_await
    co_await with_deadline(timer, [s = std::move(s)]() mutable { return s; });  // expect: co_await
    co_await g(
        first,
        [&] { return 1; });                                       // expect: co_await
    co_spawn(make_strand(co_await this_coro::executor), [s]() mutable -> awaitable<void> { co_return; }, h);  // expect: co_await
    co_spawn(executor, [x]() -> awaitable<void> { co_return; }(), handler);  // expect: co_await
    co_spawn(executor, serve(1), detached);                       // expect: detached
}

asio::awaitable<int> good()
{
    Opts opts{host, 80};
    co_await f(std::move(opts));
    auto [ec, n] = co_await asio::async_read(stream, buffers[0], no_throw);
    if (co_await f()) {
        count += 1;
    }
    if (const auto found = co_await lookup(services, exchange); found.fresh) { co_return 1; }
    switch (co_await f(table[index])) {
        case 1: co_return cond ? 1 : 2;
    }
    for (;;) {
        while (co_await more()) { step(); }
        auto name = [&] { return 1; };
        co_await g(name);
    }
    const int chosen = cond ? a : b;
    co_await h(chosen, "what? {braces}");  // a ? and { in a comment
    co_spawn(executor, name, handler);
    co_spawn(executor, [x]() -> awaitable<void> { co_return; }, handler);
    co_return co_await f();
}
