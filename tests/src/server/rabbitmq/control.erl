%% Answers questions about the node in the variable IDEM_RABBITMQ_NODE, one a line on standard
%% input, until that ends. An expression for `erl -eval`.
Node = list_to_atom(os:getenv("IDEM_RABBITMQ_NODE")),
Call = fun(Module, Function, Arguments) -> rpc:call(Node, Module, Function, Arguments, 5000) end,
%% A quorum queue is asked through its log: its figures come late.
Count = fun(Queue) ->
    case Call(rabbit_amqqueue, lookup, [{resource, <<"/">>, queue, list_to_binary(Queue)}]) of
        {ok, Found} ->
            case Call(amqqueue, get_type, [Found]) of
                rabbit_quorum_queue ->
                    Id = Call(amqqueue, get_pid, [Found]),
                    Ask = fun(Query) ->
                        {ok, {_, Answer}, _} = Call(ra, leader_query, [Id, Query]),
                        Answer
                    end,
                    {Ask(fun rabbit_fifo:query_messages_ready/1),
                     Ask(fun rabbit_fifo:query_messages_checked_out/1)};
                _ ->
                    Items = [messages_ready, messages_unacknowledged],
                    [{_, Ready}, {_, Unacknowledged}] =
                        Call(rabbit_amqqueue, info, [Found, Items]),
                    {Ready, Unacknowledged}
            end;
        Other ->
            Other
    end
end,
Answer = fun(Line) ->
    case string:lexemes(Line, " \n") of
        ["running"] -> Call(rabbit, is_running, []);
        ["flush"] -> [ok = Call(dets, sync, [Table]) || Table <- Call(dets, all, [])], ok;
        ["queue", Queue] -> Count(Queue)
    end
end,
Loop = fun Loop() ->
    case io:get_line("") of
        Line when is_list(Line) ->
            Text =
                try Answer(Line) of
                    {Ready, Unacknowledged} when is_integer(Ready) ->
                        io_lib:format("~b ~b", [Ready, Unacknowledged]);
                    Term ->
                        io_lib:format("~0p", [Term])
                catch
                    _:Reason -> io_lib:format("~0p", [Reason])
                end,
            io:format("~ts~n", [Text]),
            Loop();
        _ ->
            halt(0)
    end
end,
Loop().
