"""tests/model/models.py - what is searched: each model's configurations, its mutants, and the property that catches each.

check   bounded and exhaustive, a part of `make check`; full: larger, `make model` runs both
live    exhaustive too, for cycles without progress, under weak fairness
mutants name: (property, more); `more` is a configuration in which the bug shows, where the smallest does not hold it
"""


class Model:
    def __init__(self, check, full, mutants, small="", live_check=(), live_full=()):
        self.check, self.full, self.mutants = check, full, mutants
        self.small = small                  # the configuration that mutants run in
        self.live_check, self.live_full = live_check, live_full


MODELS = {
    "ring": Model(
        check=["-DRECORDS=3 -DBATCH=1 -DKILLS=2"],
        full=["-DRECORDS=4 -DKILLS=2", "-DRECORDS=5 -DSIZE=4 -DKILLS=1", "-DRECORDS=3 -DKILLS=3"],
        live_check=["-DRECORDS=2 -DBATCH=1 -DKILLS=1"],
        live_full=["-DRECORDS=3 -DKILLS=1"],
        small="-DRECORDS=3 -DKILLS=1",
        mutants={
            "NO_FENCE_PUBLISH_PRODUCER": ("stall", ""),
            "NO_FENCE_PUBLISH_CONSUMER": ("stall", ""),
            "NO_FENCE_SLEEP_PRODUCER": ("stall", "-DRECORDS=4"),
            "NO_FENCE_SLEEP_CONSUMER": ("stall", ""),
            "NO_LOOK_AGAIN_PRODUCER": ("stall", "-DRECORDS=4"),
            "NO_LOOK_AGAIN_CONSUMER": ("stall", ""),
            "WAIT_OFF_BY_ONE": ("stall", ""),
            "NO_ROOM_CHECK": ("bounds", ""),
            "NO_KICK_ON_ATTACH": ("stall", ""),
            "NO_REPUBLISH": ("stall", ""),
            "SLEEP_BEFORE_LOOK": ("stall", ""),
            "NO_DEATH_BELL": ("stall", ""),
            "PUBLISH_BEFORE_COMMIT_PRODUCER": ("order", ""),
            "PUBLISH_BEFORE_COMMIT_CONSUMER": ("bounds", ""),
            "WANT_ABOVE_HALF": ("progress", ""),
        }),
    "step": Model(
        check=["-DRECORDS=3 -DKILLS=2"],
        full=["-DRECORDS=4 -DKILLS=3", "-DRECORDS=5 -DBATCH=3 -DKILLS=2"],
        mutants={
            "PUBLISH_BEFORE_COMMIT": ("once", ""),
            "HEAD_BEFORE_COMMIT": ("input", ""),
            "SECOND_COUNTER": ("stall", ""),
            "SECOND_COUNTER_FIRST": ("once", ""),
            "LOG_CHANGED_BY_ROLLBACK": ("whole", ""),
            "LENGTH_LOWERED_FIRST": ("whole", ""),
            "ROLLBACK_FORWARD": ("whole", ""),
            "NO_ROLLBACK": ("whole", ""),
            "NO_REPUBLISH": ("stall", ""),
            "STAMPS_OUTLIVE_STEP": ("whole", ""),
            "STAMPS_IN_ARENA": ("whole", ""),
            "NO_STAMPS": ("log", ""),
            "CHANGE_BEFORE_LENGTH": ("whole", ""),
            "LENGTH_BEFORE_OLD": ("whole", ""),
        }),
    "kick": Model(
        check=["-DRECORDS=2 -DOTHERS=1 -DKILLS=2 -DLIES=0", "-DRECORDS=1 -DOTHERS=0 -DKILLS=2 -DLIES=1"],
        full=["-DRECORDS=2 -DOTHERS=1 -DKILLS=2 -DLIES=1", "-DRECORDS=3 -DOTHERS=2 -DKILLS=2 -DLIES=0",
              "-DRECORDS=1 -DOTHERS=1 -DKILLS=2 -DLIES=2"],
        small="-DRECORDS=1 -DOTHERS=0 -DKILLS=1 -DLIES=0",
        mutants={
            "FULL_QUEUE_NOT_SUBMITTED": ("stall", "-DOTHERS=1"),
            "SLEEP_WITHOUT_SUBMISSION": ("stall", ""),
            "SLEEP_AFTER_DRAIN": ("stall", ""),
            "SLEEP_AFTER_A_LOOK": ("stall", "-DRECORDS=2"),
            "NO_FENCE_PUBLISH": ("stall", ""),
            "NO_FENCE_SLEEP": ("stall", "-DRECORDS=2"),
            "NO_DEATH_BELL": ("stall", ""),
            "NO_KICK_ON_ATTACH": ("stall", ""),
            "NO_LOOK_ON_ATTACH": ("stall", ""),
            "KICK_WAITS": ("stall", "-DLIES=1"),
            "NO_RESTORE": ("stall", "-DLIES=1"),
            "RESTORE_AFTER_START": ("stall", ""),
            "PUBLISH_BEFORE_COMMIT": ("order", ""),
        }),
    "credits": Model(
        check=["-DLAST=1 -DSLEEPS=0 -DKILLS=0 -DLOSSES=1 -DNOTIFICATIONS=2 -DCOMMANDS=0 -DOTHER_REQUESTS=0",
               "-DSLEEPS=0 -DKILLS=0 -DLATE=1 -DNOTIFICATIONS=2 -DCOMMANDS=0",
               "-DKILLS=2 -DNOTIFICATIONS=2 -DREQUESTS=0 -DCOMMANDS=0 -DOTHER_REQUESTS=0"],
        full=["-DSLEEPS=0 -DKILLS=0 -DREST=2", "-DLAST=1 -DBUFFERS=3 -DSLEEPS=0 -DKILLS=0 -DLATE=1 -DNOTIFICATIONS=2",
              "-DSLEEPS=0 -DKILLS=0 -DREST=6 -DROUND=0 -DMOST=4 -DNOTIFICATIONS=5 -DCOMMANDS=0",
              "-DSLEEPS=0 -DKILLS=0 -DLOSSES=1 -DNOTIFICATIONS=2", "-DKILLS=1 -DNOTIFICATIONS=1 -DCOMMANDS=0",
              "-DKILLS=2 -DNOTIFICATIONS=2 -DOTHERS=0", "-DKILLS=2 -DLOSSES=1 -DNOTIFICATIONS=1 -DREQUESTS=0 -DCOMMANDS=0"],
        small="-DSLEEPS=0 -DKILLS=0 -DNOTIFICATIONS=4 -DCOMMANDS=2 -DOTHERS=0",
        mutants={
            "QUEUE_BELOW_WINDOW": ("overflow", ""),
            "NO_ANSWER_SLOT": ("answered", ""),
            "NO_KEEP": ("lawful", "-DCOMMANDS=3 -DNOTIFICATIONS=0"),
            "STOP_READING": ("stall", "-DREQUESTS=2"),
            "ANSWER_IN_TAKE": ("stall", ""),
            "CREDIT_TOO_LATE": ("stall", ""),
            "OWED_TOO_LONG": ("stall", "-DCOMMANDS=3 -DNOTIFICATIONS=0"),
            "LAST_FOR_ANYBODY": ("starved", "-DLATE=1 -DNOTIFICATIONS=3 -DCOMMANDS=0 -DREQUESTS=0 -DOTHERS=1"),
            "NO_SHARE": ("starved", "-DNOTIFICATIONS=2 -DCOMMANDS=0 -DREQUESTS=0 -DOTHERS=1"),
            "SHARE_NOT_LOOKED_AT_AGAIN": ("last", "-DLAST=1 -DBUFFERS=3 -DLATE=1 -DNOTIFICATIONS=3 -DCOMMANDS=0 "
                                          "-DREQUESTS=0 -DOTHERS=1"),
            "NOT_QUEUED_AGAIN": ("stall", ""),
            "CREDIT_WAKES_NOBODY": ("stall", ""),
            "LENT_TWICE": ("memory", ""),
            "NEVER_RETURNED": ("memory", ""),
            "KEPT_BY_THE_DEAD": ("memory", "-DLOSSES=1 -DNOTIFICATIONS=0 -DCOMMANDS=0 -DREQUESTS=0 -DOTHERS=2"),
            "GIVEN_BACK_AND_KEPT": ("conserved", ""),
            "WINDOW_OUTSIDE_LOG": ("conserved", "-DSLEEPS=1 -DKILLS=1 -DNOTIFICATIONS=1 -DREQUESTS=0 -DCOMMANDS=0"),
            "REST_OUTSIDE_LOG": ("memory", "-DSLEEPS=1 -DKILLS=1 -DNOTIFICATIONS=2 -DREQUESTS=0 -DCOMMANDS=0"),
            "NO_GENERATION": ("conserved", "-DLOSSES=1 -DNOTIFICATIONS=2 -DCOMMANDS=0 -DOTHERS=1"),
            "NO_REPUBLISH": ("stall", "-DSLEEPS=1 -DKILLS=1 -DNOTIFICATIONS=1 -DREQUESTS=0 -DCOMMANDS=0"),
            "NO_KICK_ON_ATTACH": ("asleep", "-DSLEEPS=1 -DKILLS=1 -DNOTIFICATIONS=1 -DREQUESTS=0 -DCOMMANDS=0"),
            "NO_LOOK_AGAIN": ("asleep", "-DSLEEPS=1 -DNOTIFICATIONS=1 -DREQUESTS=0 -DCOMMANDS=0"),
        }),
    "attach": Model(
        check=["-DKILLS=2 -DLIES=0"],
        full=["-DKILLS=1 -DLIES=1"],
        small="-DKILLS=1 -DLIES=0",
        mutants={
            "NO_KICK_ON_ATTACH": ("stall", ""),
            "SLEEP_BEFORE_LOOK": ("stall", ""),
            "NOT_REPLACED": ("stall", ""),
            "DROP_KEEPS_CONNECTION": ("stall", "-DLIES=1"),
            "HIGHEST_FORGOTTEN": ("positions", "-DLIES=1"),
            "RESUME_BLINDLY": ("converges", "-DLIES=1"),
            "NO_WAIT_FOR_FORMER": ("owner", ""),
            "PIDFD_STORED_LATE": ("owner", ""),
        }),
}
