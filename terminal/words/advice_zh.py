"""What each code asks of the cashier and tells the technician, in simplified Chinese."""

from __future__ import annotations

from typing import Final

from terminal.words.catalogue import Advice

_CARD_OFFICE: Final = "不收款；请顾客到一卡通中心办理。"
_CALL: Final = "停止收款；请联系技术员，报出编号。"
_DEVICE: Final = "可以继续收款；有空时请联系技术员。"

ADVICE: Final = {
    "HOTLISTED": Advice("拒付：挂失卡", _CARD_OFFICE, "卡在挂失名单内。"),
    "NOT_YET_VALID": Advice("拒付：卡未启用", _CARD_OFFICE, "卡内有效期尚未开始；先核对终端日期。"),
    "EXPIRED": Advice("拒付：卡已过期", _CARD_OFFICE, "卡内有效期已过；先核对终端日期。"),
    "INSUFFICIENT_BALANCE": Advice("拒付：余额不足", "请顾客充值，或换一张卡，或付现金。", "卡内余额小于应付金额。"),
    "OVER_TAP_LIMIT": Advice("拒付：超单笔限额", "请核对金额；确实这么多，分次收或付现金。", "金额高于单笔限额设置。"),
    "NO_PURSE": Advice("拒付：卡内无钱包", _CARD_OFFICE, "卡上没有电子钱包，或未对本校启用。"),
    "COUNTER_EXHAUSTED": Advice("拒付：卡次数用尽", "不收款；请顾客到一卡通中心换卡。", "卡的交易计数器已到最大值。"),
    "CARD_BLOCKED": Advice("拒付：卡已锁定", _CARD_OFFICE, "卡或卡内应用被锁定。"),
    "OVER_MEAL_LIMIT": Advice(
        "拒付：超本餐限额", "本餐次数或金额已满；请付现金。", "超过该卡类的每餐限额；只计本终端。"
    ),
    "OVER_DAY_LIMIT": Advice("拒付：超当日限额", "今日金额已满；请付现金。", "超过该卡类的每日限额；只计本终端。"),
    "OVER_CLASS_LIMIT": Advice("拒付：卡类不可用", "这类卡不能在此消费；请付现金。", "卡类限额不允许，或卡类未配置。"),
    "OFFLINE_TOO_LONG": Advice(
        "拒付：脱机太久", "暂停刷卡，可收现金；请联系技术员恢复网络。", "距上次回执超过脱机时限；查看上传状态。"
    ),
    "OFFLINE_TOO_MUCH": Advice(
        "拒付：脱机金额已满", "暂停刷卡，可收现金；请联系技术员恢复网络。", "未上传金额超过脱机限额；查看上传状态。"
    ),
    "DOUBLE_TAP": Advice(
        "拒付：同卡重复刷", "刚才已收过这张卡同样的金额。确要再收，按确认。", "短时间内同卡同额的第二笔被拦下。"
    ),
    "NOT_SOLD_NOW": Advice(
        "拒付：此时段不售", "现在不在供餐时段，或此商品现在不卖。", "核对餐段、商品配置和终端时钟。"
    ),
    "REVERSAL_NOT_ALLOWED": Advice(
        "不能撤销", "只能用原卡撤销本班最后一笔，且在数分钟内。", "不是最后一笔、换了卡、超时或已撤销过。"
    ),
    "REFUND_NOT_ALLOWED": Advice(
        "不能退款",
        "退款只给付款的那张卡，不超过它付的；不能退给批准的主管自己。",
        "换了卡、金额过大、已退过，或原笔未收成。",
    ),
    "NOT_A_CASHIER": Advice("此卡无权登录", "请用收银员卡或主管卡。", "卡不在本门店的员工名单内，或角色不够。"),
    "PIN_WRONG": Advice("密码错误", "请重新输入密码；连错会锁卡。", "卡返回密码错误和剩余次数。"),
    "PIN_LOCKED": Advice("密码已锁", "请换一张员工卡；锁住的卡到一卡通中心解锁。", "卡的密码错误次数已满。"),
    "card-removed": Advice("未收款：请重新刷卡", "卡拿走太早，没有扣款；请把卡放稳再刷。", "读写过程中卡离开。"),
    "card-mute": Advice("请拿开，只刷一张卡", "一次一张，取出卡套，平放在读卡器上。", "读卡器上的东西没有应答。"),
    "card-unreadable": Advice(
        "未收款：不是校园卡", "没有扣款；请换一张卡。是校园卡的，到一卡通中心检查。", "卡的文件无法读取。"
    ),
    "still-there": Advice("请先把卡拿开再刷", "读卡器上还是上一笔的卡；没有再次扣款。", "读卡器重复报告同一张卡。"),
    "wrong-card": Advice(
        "请刷刚才那张卡", "这是另一张卡，没有动它；请刷屏幕上写的那张。", "未完成的扣款在等原来的卡。"
    ),
    "torn": Advice(
        "请再刷同一张卡", "刚才中断了；请同一张卡放稳不动，不会重复扣款。", "扣款命令已发出，没有收到结果。"
    ),
    "unresolved": Advice(
        "结果未知", "本机不能判断是否扣款；学校会查清。顾客可凭交易号查询。", "这笔以 UNKNOWN 记录，由服务器判断。"
    ),
    "unresolved-with-proof": Advice(
        "卡称已付款", "卡说已经付了，本机无法核对：先不要交货，由服务器核对。", "有 TAC 但本机无法核对 MAC2。"
    ),
    "proof-refused": Advice(
        "拒付：卡验证失败", "不要交货；留住卡并联系一卡通中心，报交易号。", "PSAM 不认卡的 MAC2；可能是假卡。"
    ),
    "not-paid": Advice("未收款：请重新刷卡", "没有扣款；请再刷一次。", "卡没有执行扣款；看日志中的原因。"),
    "reader-service-down": Advice(
        "没有读卡器：请稍等", "读卡服务正在重启，会自动恢复；超过一分钟请联系技术员。", "pcscd 没有应答。"
    ),
    "reader-missing": Advice(
        "没有读卡器：请插好", "请检查读卡器的线；插好后自动恢复。", "系统中没有配置里写的读卡器。"
    ),
    "reader-stuck": Advice("请拔下读卡器再插上", "读卡器卡住了；拔下再插上，然后刷卡。", "读卡器对命令没有应答。"),
    "reader-fault": Advice("读卡器受干扰", "请再刷一次卡；还不行就拔下读卡器再插上。", "一次读写出错。"),
    "psam-lost": Advice("不能收款：安全模块", _CALL, "PSAM 卡座没有应答；检查卡座和接线。"),
    "psam-unusable": Advice("不能收款：安全模块", _CALL, "卡座里的卡不是可用的 PSAM。"),
    "psam-foreign": Advice("不能收款：安全模块", _CALL, "PSAM 属于另一台终端；换回本机的 PSAM。"),
    "psam-locked": Advice("停机：安全模块已锁", _CALL, "PSAM 因多次验证失败自锁；更换并检查之前的卡。"),
    "downlink-unreadable": Advice("不能收款：名单损坏", _CALL, "uplink.db 读不出；重启同步服务，仍不行则文件损坏。"),
    "not-enrolled": Advice("停机：终端未登记", _CALL, "先用 campus-syncd enrol 登记终端。"),
    "config-invalid": Advice("停机：配置错误", _CALL, "terminal.toml 有错；错误里写明了键名。"),
    "devices-invalid": Advice("停机：设备设置错误", _CALL, "terminal.toml 的 [devices] 有错；错误里写明了键名。"),
    "journal-damaged": Advice(
        "停机：日志损坏", _CALL, "campus-terminal journal set-aside，再用新票据登记；已上传的都在。"
    ),
    "journal-foreign": Advice("停机：日志不是本机", _CALL, "日志属于另一台终端或更早的登记。"),
    "journal-lost": Advice("停机：日志缺失", _CALL, "服务器有本机日志里没有的交易；找回文件或重新登记。"),
    "journal-in-use": Advice(
        "停机：程序已在运行", "另一个收款程序占用日志；关掉那一个。", "另一进程持有 journal.db.lock。"
    ),
    "journal-unwritable": Advice("停机：磁盘不能写", _CALL, "磁盘已满、只读或损坏；腾出空间或更换，再启动。"),
    "disk-full": Advice("停机：磁盘已满", _CALL, "腾出空间，再启动；流水完好。"),
    "disk-read-only": Advice("停机：磁盘只读", _CALL, "内核因错误把磁盘设为只读；更换存储卡。"),
    "verdict": Advice("不能收款：服务器拒收", _CALL, "服务器不再接收本机日志；原因见括号内代码。"),
    "FORK": Advice("不能收款：日志分叉", _CALL, "服务器上同号交易不同；不要动终端，联系运营方。"),
    "QUARANTINED": Advice("不能收款：终端被隔离", _CALL, "服务器隔离了本机；联系运营方。"),
    "UNKNOWN_TERMINAL": Advice("不能收款：未登记", _CALL, "服务器不认识本机；用原票据重新登记。"),
    "WRONG_EPOCH": Advice("不能收款：日志不符", _CALL, "服务器等的是另一本日志；用新票据登记。"),
    "SIGNATURE_INVALID": Advice("不能收款：签名不符", _CALL, "服务器存的是另一把密钥；用新票据登记。"),
    "clock-gone-back": Advice(
        "时钟倒退：请核对时间", "请看右上角时间；不对就停止收款，联系技术员。", "时钟早于最后一笔交易；检查电池和对时。"
    ),
    "printer-no-paper": Advice("打印机缺纸", "可以继续收款；装好纸后可补打小票。", "打印机报告缺纸。"),
    "printer-offline": Advice("打印机未连接", _DEVICE, "打印机没有应答；检查电源和接线。"),
    "display-offline": Advice("顾客显示屏未连接", _DEVICE, "顾客显示屏没有应答。"),
    "scanner-offline": Advice("扫码枪未连接", _DEVICE, "找不到扫码枪。"),
    "keypad-offline": Advice("小键盘未连接", _DEVICE, "找不到小键盘。"),
    "voice-silent": Advice("语音不可用", _DEVICE, "语音程序出错。"),
    "signals-offline": Advice("蜂鸣器不可用", _DEVICE, "找不到 GPIO。"),
    "printer-paper-low": Advice("打印纸快用完", "准备好新纸卷；可以继续收款。", "打印机检测到纸将尽。"),
    "receipts-unprinted": Advice(
        "有小票未打印", "可以继续收款；需要时补打，小票上印【补打】。", "打印机恢复前顾客已离开。"
    ),
    "amount-needed": Advice("请输入金额", "金额不能是零；请重新输入。", "输入了零。"),
    "amount-not-wanted": Advice(
        "按餐计次：不用输金额", "现在按餐计次；输入份数，或在菜单换收款方式。", "按餐计次时输入了金额。"
    ),
    "basket-full": Advice("太多了", "一种最多 99 份；请分两次收。", "超过数量或金额上限。"),
    "code-unknown": Advice("没有这个条码", "请按商品键或输入金额。", "配置里没有这个条码的商品。"),
    "no-meal-now": Advice(
        "现在没有餐段", "按餐计次要在供餐时段；请在菜单换收款方式。", "此刻没有带价格的餐段；核对时钟。"
    ),
    "no-shift": Advice("还没有开班", "请先登录开班。", "此功能需要已开的班。"),
    "no-supervisor": Advice("没有主管", "本门店没有登记主管；请联系技术员。", "配置的员工名单里没有主管。"),
    "not-in-training": Advice("培训中不能用", "先结束培训再做。", "会动到钱的功能在培训中关闭。"),
    "nothing-to-confirm": Advice("没有要确认的", "请输入金额。", "没有等待确认的事。"),
    "nothing-to-sell": Advice("还没有金额", "请先输入金额或选商品。", "没有待收的金额。"),
    "nothing-to-undo": Advice(
        "没有可撤销的", "本班没有可撤销的上一笔。要退款请用【退款】。", "没有上一笔，或已撤销过。"
    ),
    "pin-is-digits": Advice("密码是 4 到 12 位数字", "请重新输入密码。", "密码位数不对。"),
    "product-unknown": Advice("没有这个商品号", "请核对号码。", "配置里没有这个商品号。"),
    "sale-not-ended": Advice("先结束这一笔", "请先收完或取消现在这一笔。", "还有未完成的一笔。"),
    "timed-out": Advice("等太久，已取消", "需要的话请再来一次。", "无人继续操作。"),
    "undo-too-late": Advice("太晚，不能撤销", "已超过撤销时间；请主管办理退款。", "超过撤销时限且没有主管。"),
}
