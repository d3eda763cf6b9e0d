"""Facts of the province that no draw changes: cities, tariff plans, number segments, handsets, services."""

from typing import Final, NamedTuple

from jobs.synthetic.timeline import day


class City(NamedTuple):
    """A city, its share of the customers in per cent, and some of its counties."""

    name: str
    share: float
    counties: tuple[str, ...]


class Plan(NamedTuple):
    """A tariff plan; the data is empty where subscriptions carry it themselves."""

    plan_id: str
    name: str
    brand: str
    fee: int
    data_mb: int | None
    voice_minutes: int
    withdrawn_on: int | None = None


class Handset(NamedTuple):
    """A terminal model."""

    model: str
    vendor: str
    generation: str
    type_code: str


class Service(NamedTuple):
    """A service, its family, and the share of subscriptions that hold it from the start."""

    service_id: str
    family: str
    held: float


CITIES: Final = (
    City("南京", 14.0, ("玄武区", "秦淮区", "建邺区", "鼓楼区", "江宁区", "浦口区")),
    City("苏州", 16.0, ("姑苏区", "吴中区", "昆山市", "常熟市", "张家港市", "太仓市")),
    City("无锡", 9.5, ("梁溪区", "滨湖区", "江阴市", "宜兴市")),
    City("常州", 6.5, ("天宁区", "武进区", "溧阳市")),
    City("镇江", 4.0, ("京口区", "丹阳市", "句容市")),
    City("扬州", 5.5, ("广陵区", "邗江区", "高邮市", "仪征市")),
    City("泰州", 5.0, ("海陵区", "泰兴市", "靖江市")),
    City("南通", 9.0, ("崇川区", "海门区", "如皋市", "启东市")),
    City("盐城", 7.5, ("亭湖区", "东台市", "射阳县")),
    City("淮安", 5.0, ("清江浦区", "涟水县", "盱眙县")),
    City("连云港", 4.5, ("海州区", "东海县", "灌云县")),
    City("徐州", 9.0, ("云龙区", "铜山区", "新沂市", "邳州市", "沛县")),
    City("宿迁", 4.5, ("宿城区", "沭阳县", "泗洪县")),
)

SOLD_PLANS: Final = (
    Plan("P018", "神州行畅听卡", "神州行", 18, 1_024, 60, day(2027, 3, 31)),
    Plan("P019", "神州行老年卡", "神州行", 19, 0, 100),
    Plan("P028", "神州行家园卡", "神州行", 28, 2_048, 120),
    Plan("P038", "动感地带潮玩卡", "动感地带", 38, 10_240, 100),
    Plan("P058", "动感地带校园卡", "动感地带", 58, 15_360, 150),
    Plan("P068", "神州行旧版畅享卡", "神州行", 68, None, 240, day(2026, 12, 31)),
    Plan("P088", "全球通畅享套餐", "全球通", 88, 20_480, 300),
    Plan("P128", "全球通精英套餐", "全球通", 128, 30_720, 500),
    Plan("P188", "全球通金卡套餐", "全球通", 188, 51_200, 800),
    Plan("P288", "全球通白金套餐", "全球通", 288, 81_920, 1_200),
    Plan("P588", "全球通钻石套餐", "全球通", 588, 153_600, 3_000),
)
CLOSED_PLAN: Final = Plan("P008", "神州行体验卡", "神州行", 8, 512, 30, day(2026, 6, 8))
"""No longer sold, and about to be withdrawn."""

PLANS: Final = (*SOLD_PLANS, CLOSED_PLAN)
PLAN_IDS: Final = tuple(plan.plan_id for plan in PLANS)
SENIOR_PLAN: Final = PLAN_IDS.index("P019")
OLD_PLAN: Final = PLAN_IDS.index("P068")
OLD_PLAN_DATA_MB: Final = 12_288

OWN_PREFIXES: Final = (134, 135, 136, 137, 138, 139, 150, 151, 152, 157, 158, 159, 182, 183, 184, 187, 188)
RIVAL_PREFIXES: Final = (130, 131, 132, 155, 156, 185, 186, 133, 153, 180, 181, 189)
OPERATORS: Final = {
    "中国移动": OWN_PREFIXES,
    "中国联通": RIVAL_PREFIXES[:7],
    "中国电信": RIVAL_PREFIXES[7:],
}
RESTLESS_PREFIXES: Final = (134, 150, 182)
"""Number segments once sold in bulk, whose holders leave more often."""

HANDSETS: Final = (
    Handset("Mate 40", "华为", "5G", "86123404"),
    Handset("Mate 60", "华为", "5G", "86123406"),
    Handset("畅享 20", "华为", "4G", "86123420"),
    Handset("iPhone 13", "苹果", "5G", "35290611"),
    Handset("iPhone 15", "苹果", "5G", "35290615"),
    Handset("Redmi Note 12", "小米", "5G", "86677712"),
    Handset("小米 14", "小米", "5G", "86677714"),
    Handset("OPPO A5", "OPPO", "4G", "86999905"),
    Handset("OPPO Find X7", "OPPO", "5G", "86999907"),
    Handset("vivo X100", "vivo", "5G", "86888810"),
    Handset("老人机 L8", "天语", "2G", "86555508"),
    Handset("天翼 N1", "中兴", "3G", "86444401"),
)
MODELS: Final = tuple(handset.model for handset in HANDSETS)

SERVICES: Final = (
    Service("SV_CALLER_ID", "caller_id", 0.85),
    Service("SV_RINGTONE", "ringtone", 0.25),
    Service("SV_DATA_PACK", "data_pack", 0.35),
    Service("SV_VIDEO", "video", 0.30),
    Service("SV_MUSIC", "music", 0.20),
    Service("SV_CLOUD", "cloud", 0.12),
    Service("SV_INTL_ROAM", "intl_roaming", 0.04),
    Service("SV_FAMILY_NET", "family_net", 0.30),
    Service("SV_BROADBAND", "broadband", 0.22),
)
FAMILIES: Final = tuple(service.family for service in SERVICES)

SURNAMES: Final = tuple("王李张刘陈杨黄赵周吴徐孙朱马胡郭林何高罗")
GIVEN_NAMES: Final = (
    "伟",
    "芳",
    "娜",
    "敏",
    "静",
    "磊",
    "洋",
    "艳",
    "勇",
    "军",
    "杰",
    "娟",
    "涛",
    "超",
    "秀英",
    "建国",
    "子涵",
    "欣怡",
    "海燕",
    "志强",
    "晓明",
    "玉兰",
    "文博",
    "雨桐",
)

COUNTRIES: Final = ("HK", "JP", "KR", "TH", "SG", "US", "DE")
PROVINCES: Final = ("江苏", "上海", "浙江", "安徽", "山东")
TOPICS: Final = ("bill", "plan", "data", "network", "service", "port_out", "other")
TOPIC_WEIGHTS: Final = (30.0, 16.0, 18.0, 12.0, 14.0, 1.0, 9.0)
CONTACT_CHANNELS: Final = ("hotline", "counter", "app", "sms")
COMPLAINT_CATEGORIES: Final = ("billing", "network", "service", "spam", "plan")
QUESTIONS: Final = ("overall", "coverage", "clarity", "stability", "speed")
PAYMENT_METHODS: Final = ("cash", "bank", "card", "online")
PAYMENT_CHANNELS: Final = ("counter", "bank", "card", "online")
CREDIT_CLASSES: Final = ("A", "B", "C", "D")
RECHARGES: Final = (30, 50, 100, 200, 300, 500)
